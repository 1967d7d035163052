//! Keeps answers in memory, bounded by their number and their bytes.
//!
//! ```text
//!   oldest                                         newest
//!     a  ──  b*  ──  c  ──  d*  ──  e  ──  f  ──  g       * asked for since the hand passed
//!            ^ hand
//! ```
//!
//! Room is made as in SIEVE: the hand walks from the oldest to the newest, spares what was asked for since it last passed
//! (and takes the mark away), and evicts the first that was not. A name that nobody asks for twice is therefore gone
//! after one round at the latest, while one that is asked for all the time is marked again before the hand comes back: a
//! flood of random names cannot push it out. A hit sets one bit and moves nothing.
//!
//! The cache is shared by all hubs and split into shards, each behind a lock that is held for the time of a copy and
//! never while a greenlet parks.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::question::{Key, Query};
use crate::stored::Stored;

/// What an entry is reckoned to need at most, on average: the bytes allowed are this for each entry allowed.
const BYTES_AN_ENTRY: usize = 512;
/// What an entry costs beside its key and its answer: its slot, its place in the map.
const OVERHEAD: usize = size_of::<Slot>() + 48;

/// The answers that are kept, for all hubs.
pub(crate) struct Cache {
    /// The parts, each with its lock: a hub waits only for one that is at the same part just now.
    shards: Box<[Mutex<Shard>]>,
    /// Which part a key belongs to; keyed at random, so that nobody can aim at one part.
    hasher: RandomState,
}

/// One part of the cache.
struct Shard {
    /// Where each key's slot is. The key's bytes are shared with the slot.
    places: HashMap<Arc<[u8]>, usize>,
    /// The entries, in no order; the links give the order of age.
    slots: Vec<Slot>,
    /// Slots without an entry.
    free: Vec<usize>,
    /// The slot of the oldest entry.
    oldest: usize,
    /// The slot of the newest entry.
    newest: usize,
    /// Where the search for something to evict goes on; [`NOWHERE`] stands for the oldest.
    hand: usize,
    /// What the entries cost.
    bytes: usize,
    /// How many entries there may be.
    most_entries: usize,
    /// What they may cost.
    most_bytes: usize,
}

/// One entry with its neighbours by age.
struct Slot {
    /// Under which it is kept.
    key: Arc<[u8]>,
    /// The answer; none in a free slot.
    answer: Option<Arc<Stored>>,
    /// Asked for since the hand passed.
    asked_for: bool,
    /// The next older entry's slot.
    older: usize,
    /// The next newer entry's slot.
    newer: usize,
}

/// No slot.
const NOWHERE: usize = usize::MAX;

impl Cache {
    /// A cache for so many entries, to be used by so many hubs. Without entries it keeps nothing.
    pub(crate) fn new(entries: usize, hubs: usize) -> Cache {
        let shards = if hubs == 1 || entries < 1024 { 1 } else { 16 };
        let shards = (0..shards).map(|_| Mutex::new(Shard::new(entries / shards))).collect();
        Cache {
            shards,
            hasher: RandomState::new(),
        }
    }

    /// The answer to `query` that is kept, if it may still be given at `now`: its own, or that its name does not exist.
    ///
    /// `use_it` is called with it under the lock: it may copy, not wait.
    pub(crate) fn find<R>(
        &self,
        key: &Key,
        query: &Query<'_>,
        now: Instant,
        use_it: impl FnOnce(&Arc<Stored>) -> R,
    ) -> Option<R> {
        if let Some(answer) = self.shard(key).find(key.as_bytes(), now) {
            return Some(use_it(answer));
        }
        let asked = &query.asked;
        let missing = Key::of_missing_name(query.name(), asked.dnssec_ok(), asked.checking_disabled);
        self.shard(&missing).find(missing.as_bytes(), now).map(use_it)
    }

    /// What is kept about a name above the query's not existing (RFC 8020).
    ///
    /// Not for a client that checks signatures: the proof for one name need not prove anything of another.
    pub(crate) fn find_missing_above(&self, query: &Query<'_>, now: Instant) -> Option<Arc<Stored>> {
        if query.asked.dnssec_ok() {
            return None;
        }
        let mut name = query.name();
        while let Some((&length, _)) = name.split_first() {
            name = name.get(1 + usize::from(length)..)?;
            if name.len() <= 1 {
                break;
            }
            let key = Key::of_missing_name(name, false, query.asked.checking_disabled);
            if let Some(answer) = self.shard(&key).find(key.as_bytes(), now) {
                return Some(Arc::clone(answer));
            }
        }
        None
    }

    /// Keeps the answer to `query`.
    pub(crate) fn keep(&self, query: &Query<'_>, answer: &Arc<Stored>) {
        if answer.lifetime() == 0 {
            return;
        }
        let asked = &query.asked;
        let key = if answer.name_is_missing() {
            Key::of_missing_name(query.name(), asked.dnssec_ok(), asked.checking_disabled)
        } else {
            query.key()
        };
        self.shard(&key).keep(key.as_bytes(), Arc::clone(answer));
    }

    /// How many entries there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).places.len()).sum()
    }

    /// The part that a key belongs to, locked.
    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        if let [only] = &*self.shards {
            return lock(only);
        }
        let hash = self.hasher.hash_one(key.as_bytes());
        lock(&self.shards[usize::try_from(hash % self.shards.len() as u64).unwrap_or(0)])
    }
}

/// Locks a shard. Nothing panics half-way through a change, so a poisoned lock says nothing.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    /// A part for so many entries.
    fn new(entries: usize) -> Shard {
        Shard {
            places: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            oldest: NOWHERE,
            newest: NOWHERE,
            hand: NOWHERE,
            bytes: 0,
            most_entries: entries,
            most_bytes: entries.saturating_mul(BYTES_AN_ENTRY),
        }
    }

    /// The answer under a key; one that is too old is dropped.
    fn find(&mut self, key: &[u8], now: Instant) -> Option<&Arc<Stored>> {
        let at = *self.places.get(key)?;
        if !self.slots[at]
            .answer
            .as_ref()
            .is_some_and(|answer| answer.is_fresh(now))
        {
            self.remove(at);
            return None;
        }
        let slot = &mut self.slots[at];
        slot.asked_for = true;
        slot.answer.as_ref()
    }

    /// Keeps an answer as the newest, and makes room for it first.
    fn keep(&mut self, key: &[u8], answer: Arc<Stored>) {
        let cost = cost(key, &answer);
        if self.most_entries == 0 || cost > self.most_bytes {
            return;
        }
        if let Some(&at) = self.places.get(key) {
            self.remove(at);
        }
        while self.places.len() >= self.most_entries || self.bytes + cost > self.most_bytes {
            self.evict();
        }
        let key: Arc<[u8]> = key.into();
        let slot = Slot {
            key: Arc::clone(&key),
            answer: Some(answer),
            asked_for: false,
            older: self.newest,
            newer: NOWHERE,
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        match self.newest {
            NOWHERE => self.oldest = at,
            newest => self.slots[newest].newer = at,
        }
        self.newest = at;
        self.bytes += cost;
        self.places.insert(key, at);
    }

    /// Evicts the next entry that was not asked for since the hand passed it. There must be one at all.
    fn evict(&mut self) {
        let mut at = if self.hand == NOWHERE { self.oldest } else { self.hand };
        while self.slots[at].asked_for {
            self.slots[at].asked_for = false;
            at = match self.slots[at].newer {
                NOWHERE => self.oldest,
                newer => newer,
            };
        }
        self.hand = at;
        self.remove(at);
    }

    /// Takes an entry out. A hand that points at it moves on.
    fn remove(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        let (older, newer) = (slot.older, slot.newer);
        let key = std::mem::replace(&mut slot.key, [].into());
        if let Some(answer) = slot.answer.take() {
            self.bytes -= cost(&key, &answer);
        }
        match older {
            NOWHERE => self.oldest = newer,
            older => self.slots[older].newer = newer,
        }
        match newer {
            NOWHERE => self.newest = older,
            newer => self.slots[newer].older = older,
        }
        if self.hand == at {
            self.hand = newer;
        }
        self.places.remove(&key);
        self.free.push(at);
    }
}

/// What an entry costs.
fn cost(key: &[u8], answer: &Stored) -> usize {
    OVERHEAD + key.len() + answer.size()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::question::tests::{opt_bytes, query_bytes};
    use crate::question::{OwnedQuery, Rcode, Reading, read};

    fn query(name: &str, kind: u16, dnssec_ok: bool) -> OwnedQuery {
        let message = query_bytes(1, name, kind, &opt_bytes(1232, 0, dnssec_ok, &[]));
        let Reading::Query(query) = read(&message) else {
            panic!("not a query")
        };
        query.to_owned()
    }

    fn keep(cache: &Cache, name: &str, now: Instant) {
        let query = query(name, 1, false);
        let query = query.as_query();
        cache.keep(&query, &Arc::new(Stored::empty(&query, Rcode::NoError, now, 60)));
    }

    fn has(cache: &Cache, name: &str, now: Instant) -> bool {
        let query = query(name, 1, false);
        let query = query.as_query();
        cache.find(&query.key(), &query, now, |_| ()).is_some()
    }

    #[test]
    fn what_is_kept_is_found_until_its_time_is_over() {
        let (cache, now) = (Cache::new(10, 1), Instant::now());
        keep(&cache, "a.example", now);
        assert!(has(&cache, "A.EXAMPLE", now + Duration::from_millis(59_999)));
        assert!(!has(&cache, "b.example", now));
        assert!(!has(&cache, "a.example", now + Duration::from_secs(60)));
        assert_eq!(cache.len(), 0, "what is too old is gone");
    }

    #[test]
    fn the_number_of_entries_is_bounded() {
        let (cache, now) = (Cache::new(100, 1), Instant::now());
        for number in 0..1000 {
            keep(&cache, &format!("{number}.example"), now);
        }
        assert_eq!(cache.len(), 100);
        let shard = lock(&cache.shards[0]);
        assert_eq!(shard.slots.len(), 100, "slots are used again");
    }

    #[test]
    fn the_bytes_are_bounded_and_counted_right() {
        let (cache, now) = (Cache::new(64, 1), Instant::now());
        for number in 0..200 {
            let query = query(&format!("{number}.example"), 1, false);
            let query = query.as_query();
            let big = Stored::empty(&query, Rcode::ServFail, now, 60).with_error(22, "x".repeat(4000));
            cache.keep(&query, &Arc::new(big));
            assert!(lock(&cache.shards[0]).bytes <= 64 * BYTES_AN_ENTRY);
        }
        assert!((1..64).contains(&cache.len()));
        let mut shard = lock(&cache.shards[0]);
        while shard.oldest != NOWHERE {
            let oldest = shard.oldest;
            shard.remove(oldest);
        }
        assert_eq!((shard.bytes, shard.places.len()), (0, 0));
    }

    #[test]
    fn the_oldest_goes_first_and_then_the_next() {
        let (cache, now) = (Cache::new(3, 1), Instant::now());
        for name in ["a", "b", "c", "d", "e"] {
            keep(&cache, name, now);
        }
        assert_eq!(
            ["a", "b", "c", "d", "e"].map(|name| has(&cache, name, now)),
            [false, false, true, true, true]
        );
    }

    #[test]
    fn a_flood_of_random_names_does_not_push_out_what_is_asked_for() {
        let (cache, now) = (Cache::new(100, 1), Instant::now());
        for number in 0..50 {
            keep(&cache, &format!("hot{number}.example"), now);
        }
        for number in 0..10_000 {
            if number % 10 == 0 {
                for hot in 0..50 {
                    assert!(
                        has(&cache, &format!("hot{hot}.example"), now),
                        "hot{hot} after {number}"
                    );
                }
            }
            keep(&cache, &format!("random{number}.example"), now);
        }
    }

    #[test]
    fn a_cache_without_entries_keeps_nothing() {
        let (cache, now) = (Cache::new(0, 1), Instant::now());
        keep(&cache, "a.example", now);
        assert!(!has(&cache, "a.example", now));
    }

    #[test]
    fn a_name_that_does_not_exist_is_missing_for_every_type_and_below() {
        let (cache, now) = (Cache::new(10_000, 2), Instant::now());
        let gone = query("gone.example", 1, false);
        let gone = gone.as_query();
        let missing = Stored::empty(&gone, Rcode::NxDomain, now, 60).of_missing_name();
        cache.keep(&gone, &Arc::new(missing));
        let found = |name, kind, dnssec_ok| {
            let query = query(name, kind, dnssec_ok);
            let query = query.as_query();
            let own = cache.find(&query.key(), &query, now, |_| ()).is_some();
            (own, cache.find_missing_above(&query, now).is_some())
        };
        assert_eq!(found("gone.example", 28, false), (true, false));
        assert_eq!(found("a.b.GONE.example", 16, false), (false, true));
        assert_eq!(
            found("a.gone.example", 16, true),
            (false, false),
            "its proof was not asked for"
        );
        assert_eq!(found("other.example", 1, false), (false, false));
        assert_eq!(found("xgone.example", 1, false), (false, false));
    }

    proptest::proptest! {
        /// Against a plain map without bounds: what is found is what was kept last.
        #[test]
        fn it_behaves_like_a_map(steps in proptest::collection::vec((0_u8..20, proptest::bool::ANY), 1..400)) {
            let now = Instant::now();
            let cache = Cache::new(8, 1);
            let mut model = std::collections::HashSet::new();
            for (name, keeping) in steps {
                let name = format!("{name}.example");
                if keeping {
                    keep(&cache, &name, now);
                    model.insert(name.clone());
                    assert!(has(&cache, &name, now), "the newest is never the one that is evicted");
                } else if has(&cache, &name, now) {
                    assert!(model.contains(&name));
                }
                let shard = lock(&cache.shards[0]);
                assert_eq!(shard.places.len(), model.len().min(8).min(shard.places.len()));
                let mut count = 0;
                let mut at = shard.oldest;
                while at != NOWHERE {
                    count += 1;
                    at = shard.slots[at].newer;
                }
                assert_eq!(count, shard.places.len(), "the links hold every entry");
            }
        }
    }
}
