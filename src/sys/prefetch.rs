//! Has the processor fetch memory that will be used soon.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "the instruction is reached through an intrinsic")
)]

/// Begins to fetch the cache line of `place`, and the translation of its address. Changes nothing but the time that a
/// later access takes. The address may be any; processors for which it is not known how are asked nothing.
#[inline]
pub(crate) fn prefetch<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction faults at no address, and every processor of this architecture has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    #[test]
    fn any_address_will_do() {
        prefetch(ptr::null::<u8>());
        prefetch(ptr::without_provenance::<u64>(usize::MAX));
        prefetch(&7);
    }
}
