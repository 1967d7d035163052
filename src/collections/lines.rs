//! A few waiting lines over one set of places: who leaves a line may keep its place for a while.
//!
//! ```text
//! places: [ 0: inline ] [ 1 ] [ 2 ] [ 3 ] …          a value keeps its place from `push_back` to `take`
//! line 0: 0 ◄─► 2                                    in line: can be found by whoever serves the line
//! line 1: 3                                          out of line (1): only its owner knows it
//! ```
//!
//! 1. A place is vacant, in exactly one line, or out of line. A [`Place`] cannot be copied and `take` consumes it: no
//!    place is used after it became vacant.
//! 2. The first place is inside the structure: a line that never has more than one waiter allocates nothing.
//! 3. Vacant places are a list through their `next` links; when all are vacant a large array is given back.

/// No place.
const NONE: u32 = u32::MAX;

/// So many places may stay allocated when nobody waits.
const KEPT: usize = 64;

/// The owner's hold on a place.
#[derive(Debug)]
pub(crate) struct Place(u32);

/// One place.
#[derive(Debug)]
struct Entry<T> {
    /// `None` if vacant.
    value: Option<T>,
    /// The line it stands in, or `None` if it is out of line or vacant.
    line: Option<u8>,
    /// The one before it in its line, or [`NONE`].
    previous: u32,
    /// The one behind it in its line (of the vacant: the next vacant one), or [`NONE`].
    next: u32,
}

/// The two ends of a line; [`NONE`] if nobody stands in it.
#[derive(Debug, Clone, Copy)]
struct Ends {
    /// Who is served next.
    first: u32,
    /// Who came last.
    last: u32,
}

/// `N` lines, first in, first out, with removal from anywhere in constant time.
#[derive(Debug)]
pub(crate) struct Lines<T, const N: usize> {
    /// Place 0.
    inline: Entry<T>,
    /// The other places, once there were any: place `i` is `more[i - 1]`.
    #[expect(clippy::box_collection, reason = "a pointer in each wait queue instead of a vector")]
    more: Option<Box<Vec<Entry<T>>>>,
    /// The first vacant place, or [`NONE`].
    vacant: u32,
    /// How many places are not vacant.
    taken: u32,
    /// The ends of each line.
    ends: [Ends; N],
}

impl<T, const N: usize> Lines<T, N> {
    /// `N` empty lines.
    pub(crate) const fn new() -> Lines<T, N> {
        Lines {
            inline: Entry {
                value: None,
                line: None,
                previous: NONE,
                next: NONE,
            },
            more: None,
            vacant: 0,
            taken: 0,
            ends: [Ends {
                first: NONE,
                last: NONE,
            }; N],
        }
    }

    /// Puts a value at the end of a line.
    #[inline(always)]
    pub(crate) fn push_back(&mut self, line: usize, value: T) -> Place {
        let index = self.occupy(line, value);
        let last = self.ends[line].last;
        self.entry(index).previous = last;
        self.ends[line].last = index;
        match last {
            NONE => self.ends[line].first = index,
            last => self.entry(last).next = index,
        }
        Place(index)
    }

    /// Puts a value before all others of a line.
    pub(crate) fn push_front(&mut self, line: usize, value: T) -> Place {
        let index = self.occupy(line, value);
        let first = self.ends[line].first;
        self.entry(index).next = first;
        self.ends[line].first = index;
        match first {
            NONE => self.ends[line].last = index,
            first => self.entry(first).previous = index,
        }
        Place(index)
    }

    /// Lets the first in line that `accepts` says yes to step out, and those before it too; they keep their places until their
    /// owners take them.
    #[inline(always)]
    pub(crate) fn step_out_first(&mut self, line: usize, mut accepts: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let index = loop {
            let first = self.ends[line].first;
            if first == NONE {
                return None;
            }
            let entry = self.entry(first);
            let next = std::mem::replace(&mut entry.next, NONE);
            entry.line = None;
            let accepted = entry.value.as_ref().is_some_and(&mut accepts);
            self.ends[line].first = next;
            match next {
                NONE => self.ends[line].last = NONE,
                next => self.entry(next).previous = NONE,
            }
            if accepted {
                break first;
            }
        };
        self.entry(index).value.as_mut()
    }

    /// The first in line, if any.
    #[inline]
    pub(crate) fn first(&mut self, line: usize) -> Option<&mut T> {
        match self.ends[line].first {
            NONE => None,
            first => self.entry(first).value.as_mut(),
        }
    }

    /// Those who stand in a line, in order.
    pub(crate) fn iter(&self, line: usize) -> impl Iterator<Item = &T> {
        let mut next = self.ends[line].first;
        std::iter::from_fn(move || {
            let entry = match next {
                NONE => return None,
                0 => &self.inline,
                index => &self.more.as_ref()?[index as usize - 1],
            };
            next = entry.next;
            entry.value.as_ref()
        })
    }

    /// The value at a place.
    #[inline]
    pub(crate) fn at(&mut self, place: &Place) -> Option<&mut T> {
        self.entry(place.0).value.as_mut()
    }

    /// Whether the value stands in a line still.
    #[cfg(test)]
    pub(crate) fn in_line(&mut self, place: &Place) -> bool {
        self.entry(place.0).line.is_some()
    }

    /// Takes a value out of its place, and out of its line if it stands in one.
    #[inline(always)]
    pub(crate) fn take(&mut self, place: Place) -> Option<T> {
        let index = place.0;
        self.unlink(index);
        let vacant = self.vacant;
        let entry = self.entry(index);
        entry.next = vacant;
        let value = entry.value.take();
        self.vacant = index;
        self.taken -= 1;
        if self.taken == 0 && self.more.as_ref().is_some_and(|more| more.len() > KEPT) {
            self.shrink();
        }
        value
    }

    /// Gives back all places but the first; all are vacant.
    #[cold]
    fn shrink(&mut self) {
        self.more = None;
        self.inline.next = NONE;
        self.vacant = 0;
    }

    /// Whether nobody stands in this line.
    #[inline]
    pub(crate) fn is_empty(&self, line: usize) -> bool {
        self.ends[line].first == NONE
    }

    /// Whether no place is taken.
    pub(crate) fn is_vacant(&self) -> bool {
        self.taken == 0
    }

    /// How many stand in this line; counts them.
    #[cfg(test)]
    pub(crate) fn len(&self, line: usize) -> usize {
        self.iter(line).count()
    }

    /// Makes a vacant place one that stands in `line`, not linked yet.
    #[inline(always)]
    fn occupy(&mut self, line: usize, value: T) -> u32 {
        self.taken += 1;
        let index = self.vacant;
        if index == NONE {
            return self.append(line, value);
        }
        let entry = self.entry(index);
        let next = std::mem::replace(&mut entry.next, NONE);
        entry.value = Some(value);
        entry.line = Some(line as u8);
        self.vacant = next;
        index
    }

    /// [`Lines::occupy`] when no place is vacant.
    #[cold]
    fn append(&mut self, line: usize, value: T) -> u32 {
        let more = self.more.get_or_insert_default();
        more.push(Entry {
            value: Some(value),
            line: Some(line as u8),
            previous: NONE,
            next: NONE,
        });
        more.len() as u32
    }

    /// Takes a place out of its line, if it stands in one.
    #[inline]
    fn unlink(&mut self, index: u32) {
        if let Some(line) = self.entry(index).line.take() {
            self.unlink_from(line, index);
        }
    }

    /// Takes a place out of the line it stands in.
    fn unlink_from(&mut self, line: u8, index: u32) {
        let entry = self.entry(index);
        let (previous, next) = (entry.previous, entry.next);
        entry.previous = NONE;
        entry.next = NONE;
        match previous {
            NONE => self.ends[line as usize].first = next,
            previous => self.entry(previous).next = next,
        }
        match next {
            NONE => self.ends[line as usize].last = previous,
            next => self.entry(next).previous = previous,
        }
    }

    /// The place of this index.
    #[inline(always)]
    fn entry(&mut self, index: u32) -> &mut Entry<T> {
        match index {
            0 => &mut self.inline,
            index => {
                let more = self
                    .more
                    .as_mut()
                    .expect("a place beside the first was made by `append`");
                &mut more[index as usize - 1]
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    /// One step of the comparison with the model.
    #[derive(Clone, Debug)]
    enum Step {
        Back(usize),
        Front(usize),
        Leave(usize),
        Take(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..2_usize).prop_map(Step::Back),
            1 => (0..2_usize).prop_map(Step::Front),
            1 => (0..2_usize).prop_map(Step::Leave),
            2 => any::<usize>().prop_map(Step::Take),
        ]
    }

    proptest! {
        #[test]
        fn behaves_as_two_deques(steps in prop::collection::vec(step(), 1..400)) {
            let mut lines: Lines<usize, 2> = Lines::new();
            let mut model = [VecDeque::new(), VecDeque::new()];
            let mut owned: Vec<(usize, Place)> = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Back(line) => {
                        owned.push((number, lines.push_back(line, number)));
                        model[line].push_back(number);
                    }
                    Step::Front(line) => {
                        owned.push((number, lines.push_front(line, number)));
                        model[line].push_front(number);
                    }
                    Step::Leave(line) => {
                        prop_assert_eq!(lines.step_out_first(line, |_| true).copied(), model[line].pop_front());
                    }
                    Step::Take(_) if owned.is_empty() => {}
                    Step::Take(which) => {
                        let (number, place) = owned.swap_remove(which % owned.len());
                        prop_assert_eq!(lines.take(place), Some(number));
                        model.iter_mut().for_each(|line| line.retain(|other| *other != number));
                    }
                }
                for (number, place) in &owned {
                    prop_assert_eq!(lines.in_line(place), model.iter().any(|line| line.contains(number)));
                }
                for (line, model) in model.iter().enumerate() {
                    prop_assert_eq!(lines.iter(line).copied().collect::<VecDeque<_>>(), model.clone());
                    prop_assert_eq!(lines.first(line).copied(), model.front().copied());
                    prop_assert_eq!(lines.len(line), model.len());
                    prop_assert_eq!(lines.is_empty(line), model.is_empty());
                }
            }
        }
    }

    #[test]
    fn a_single_waiter_allocates_nothing_and_many_are_forgotten() {
        let mut lines: Lines<u32, 1> = Lines::new();
        for _ in 0..3 {
            let place = lines.push_back(0, 1);
            assert_eq!(lines.take(place), Some(1));
        }
        assert!(lines.more.is_none());
        let places: Vec<_> = (0..1000).map(|number| lines.push_back(0, number)).collect();
        for place in places {
            lines.take(place);
        }
        assert!(lines.more.is_none());
        let places: Vec<_> = (0..3).map(|number| lines.push_back(0, number)).collect();
        assert_eq!(lines.step_out_first(0, |_| true), Some(&mut 0));
        assert_eq!(
            places
                .into_iter()
                .filter_map(|place| lines.take(place))
                .collect::<Vec<_>>(),
            [0, 1, 2]
        );
    }
}
