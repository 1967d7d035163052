//! The only C: raw system calls, errno, mappings and guards, descriptor flags, signals.
