//! Answers kept until their time is over: found addresses, and the knowledge that there are none (RFC 2308).
//!
//! Bounded and boring: a hash table; when it is full, whatever is over goes, and failing that the
//! entry that would be over first. The caller tells the time.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Found addresses are kept for at most a day, however long their server would allow.
const LONGEST_POSITIVE: Duration = Duration::from_secs(24 * 3600);

/// Nothing found is kept for at most three hours (RFC 2308, section 5).
const LONGEST_NEGATIVE: Duration = Duration::from_secs(3 * 3600);

/// Whether an answer found something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// There are addresses.
    Positive,
    /// The name, or its addresses of this kind, do not exist.
    Negative,
}

/// A bounded table of answers.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    /// Never more than `most`.
    entries: HashMap<K, Entry<V>>,
    /// 0 keeps nothing.
    most: usize,
}

/// One answer.
#[derive(Debug)]
struct Entry<V> {
    /// From when on it is no longer told.
    expires: Instant,
    /// What was found.
    value: V,
}

impl<K: Hash + Eq + Clone, V> Cache<K, V> {
    /// An empty cache of at most `most` entries.
    pub(crate) fn new(most: usize) -> Cache<K, V> {
        Cache {
            entries: HashMap::new(),
            most,
        }
    }

    /// What is known of `key` at `now`.
    pub(crate) fn get(&self, key: &K, now: Instant) -> Option<&V> {
        self.entries
            .get(key)
            .filter(|entry| now < entry.expires)
            .map(|entry| &entry.value)
    }

    /// Keeps `value` for `ttl` from `now` on; a `ttl` of nothing keeps nothing, and forgets what was kept.
    pub(crate) fn insert(&mut self, key: K, value: V, sign: Sign, ttl: Duration, now: Instant) {
        let longest = match sign {
            Sign::Positive => LONGEST_POSITIVE,
            Sign::Negative => LONGEST_NEGATIVE,
        };
        let expires = now + ttl.min(longest);
        if expires <= now || self.most == 0 {
            self.entries.remove(&key);
            return;
        }
        if self.entries.len() >= self.most && !self.entries.contains_key(&key) {
            self.make_room(now);
        }
        self.entries.insert(key, Entry { expires, value });
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Drops what is over, or else the entry that would be over first.
    fn make_room(&mut self, now: Instant) {
        self.entries.retain(|_, entry| now < entry.expires);
        if self.entries.len() >= self.most {
            let first = self
                .entries
                .iter()
                .min_by_key(|(_, entry)| entry.expires)
                .map(|(key, _)| key.clone());
            if let Some(first) = first {
                self.entries.remove(&first);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_answer_is_told_until_its_time_is_over() {
        let (mut cache, start) = (Cache::new(4), Instant::now());
        cache.insert("a", 1, Sign::Positive, 2 * SECOND, start);
        assert_eq!(cache.get(&"a", start), Some(&1));
        assert_eq!(cache.get(&"a", start + 2 * SECOND - Duration::from_nanos(1)), Some(&1));
        assert_eq!(cache.get(&"a", start + 2 * SECOND), None);
    }

    #[test]
    fn no_time_to_live_keeps_nothing() {
        let (mut cache, start) = (Cache::new(4), Instant::now());
        cache.insert("a", 1, Sign::Positive, SECOND, start);
        cache.insert("a", 2, Sign::Positive, Duration::ZERO, start);
        assert_eq!(cache.get(&"a", start), None);
        let mut none = Cache::new(0);
        none.insert("a", 1, Sign::Positive, SECOND, start);
        assert_eq!(none.get(&"a", start), None);
    }

    #[test]
    fn long_lives_are_cut() {
        let (mut cache, start) = (Cache::new(4), Instant::now());
        cache.insert("a", 1, Sign::Positive, Duration::from_secs(u32::MAX.into()), start);
        cache.insert("b", 1, Sign::Negative, Duration::from_secs(u32::MAX.into()), start);
        assert!(cache.get(&"a", start + LONGEST_POSITIVE - SECOND).is_some());
        assert!(cache.get(&"a", start + LONGEST_POSITIVE).is_none());
        assert!(cache.get(&"b", start + LONGEST_NEGATIVE).is_none());
    }

    #[test]
    fn a_full_cache_drops_what_is_over_first() {
        let (mut cache, start) = (Cache::new(2), Instant::now());
        cache.insert("long", 1, Sign::Positive, 9 * SECOND, start);
        cache.insert("short", 2, Sign::Positive, SECOND, start);
        cache.insert("new", 3, Sign::Positive, 5 * SECOND, start);
        assert_eq!(
            (
                cache.get(&"long", start),
                cache.get(&"short", start),
                cache.get(&"new", start)
            ),
            (Some(&1), None, Some(&3))
        );
        cache.clear();
        assert_eq!(cache.get(&"long", start), None);
    }

    #[test]
    fn failing_that_it_drops_what_would_be_over_first() {
        let (mut cache, start) = (Cache::new(8), Instant::now());
        for seconds in 1..=16 {
            cache.insert(seconds, (), Sign::Positive, seconds * SECOND, start);
        }
        let kept = (1..=16).filter(|seconds| cache.get(seconds, start).is_some());
        assert!(kept.eq(9..=16));
    }

    proptest! {
        /// Against a model that forgets nothing: what is told was inserted last and is not over; the bound holds.
        #[test]
        fn it_tells_no_lies(most in 0usize..4, steps in prop::collection::vec((0u8..6, 0u64..5, 0u64..3), 0..40)) {
            let mut now = Instant::now();
            let mut cache = Cache::new(most);
            let mut model: HashMap<u8, (Instant, usize)> = HashMap::new();
            for (index, (key, ttl, passed)) in steps.into_iter().enumerate() {
                now += passed as u32 * SECOND;
                cache.insert(key, index, Sign::Positive, ttl as u32 * SECOND, now);
                model.insert(key, (now + ttl as u32 * SECOND, index));
                prop_assert!(cache.entries.len() <= most);
                for key in 0..6 {
                    if let Some(told) = cache.get(&key, now) {
                        prop_assert!(model[&key].0 > now && model[&key].1 == *told);
                    }
                }
                prop_assert_eq!(cache.get(&key, now).is_some(), ttl > 0 && most > 0);
            }
        }
    }
}
