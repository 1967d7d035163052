//! Guarded stacks out of slabs, a cache for each thread, and the report of an overflow.
