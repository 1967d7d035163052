//! The end of a greenlet for those who need more than to be woken by it: several who wait, who wait on other threads, who
//! observe, and links. And what is raised in a greenlet that is on its way to its hub.
//!
//! Few greenlets have any of it: it is made at its first use.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::exit::Ending;
use crate::hub::interrupt::{Interrupt, discard};
use crate::hub::park::Unparker;
use crate::sync::wait_queue::{Handover, View, WaitQueue};

/// Something to be called when a greenlet has ended.
pub(super) type Link = Box<dyn FnOnce(Ending) + Send>;

/// See the top of the file.
#[derive(Default)]
pub(crate) struct Completion {
    /// Reaches one that had to travel to its hub, once it has arrived.
    arrived: Option<Unparker>,
    /// What was raised in it before.
    early: Vec<Interrupt>,
    /// How it ended, once it has and has looked here.
    ending: Option<Ending>,
    /// All links that were there have been called: a new one is called by whoever adds it.
    links_called: bool,
    /// Called in order of addition, each with its number.
    links: VecDeque<(u64, Link)>,
    /// The number of the next link.
    next_link: u64,
}

impl Completion {
    /// Whether the greenlet has ended.
    pub(crate) fn ended(&self) -> bool {
        self.ending.is_some()
    }
}

impl Handover for Completion {
    type Aside = ();
    type Ticket = ();

    /// The end is there for all: nothing is handed over.
    fn take_back(_: &mut View<'_, Self>, _: usize, _: &mut ()) {}
}

impl WaitQueue<Completion> {
    /// Reaches the greenlet; `None` while it is on its way to its hub.
    pub(super) fn arrived(&self) -> Option<Unparker> {
        self.with(|view| view.state.arrived)
    }

    /// It has arrived at its hub: what was raised on the way is raised now.
    pub(super) fn arrive(&self, unparker: Unparker) {
        let early = self.with(|view| {
            view.state.arrived = Some(unparker);
            std::mem::take(&mut view.state.early)
        });
        for interrupt in early {
            unparker.interrupt(interrupt);
        }
    }

    /// Raises something in a greenlet that travels, or has arrived.
    pub(super) fn interrupt(&self, interrupt: Interrupt) {
        let arrived = self.with(|view| match view.state.arrived {
            Some(unparker) => Some((unparker, interrupt)),
            None => {
                view.state.early.push(interrupt);
                None
            }
        });
        if let Some((unparker, interrupt)) = arrived {
            unparker.interrupt(interrupt);
        }
    }

    /// The greenlet has ended: wakes who waits, tells who observes, calls the links.
    pub(super) fn complete(&self, ending: Ending) {
        let linked = self.with(|view| {
            view.state.ending = Some(ending);
            view.state.links_called = view.state.links.is_empty();
            view.grant_all(0);
            view.tell_all();
            !view.state.links_called
        });
        if linked {
            self.call_links(ending);
        }
    }

    /// The greenlet has ended and gone: nobody will look here any more.
    pub(super) fn settle(&self, ending: Ending) {
        self.with(|view| {
            view.state.ending.get_or_insert(ending);
            view.state.links_called = true;
        });
    }

    /// Calls the links that there are; from then on new ones are called by whoever adds them. `ending` is what they are
    /// told if no other is known.
    pub(super) fn call_links(&self, ending: Ending) {
        // One at a time: a link may take back those that come after it.
        let next = || {
            self.with(|view| {
                let next = view.state.links.pop_front();
                view.state.links_called = next.is_none();
                next.map(|(_, link)| (link, *view.state.ending.get_or_insert(ending)))
            })
        };
        while let Some((link, ending)) = next() {
            call(link, ending);
        }
    }

    /// Adds a link. If the links have been called already, gives it back.
    pub(super) fn link(&self, link: Link) -> Result<u64, Link> {
        self.with(|view| {
            if view.state.links_called {
                return Err(link);
            }
            let number = view.state.next_link;
            view.state.next_link += 1;
            view.state.links.push_back((number, link));
            Ok(number)
        })
    }

    /// Takes a link back, unless it has been called.
    pub(super) fn unlink(&self, number: u64) -> Option<Link> {
        self.with(|view| {
            let links = &mut view.state.links;
            let place = links.iter().position(|(other, _)| *other == number)?;
            links.remove(place).map(|(_, link)| link)
        })
    }
}

/// Calls a link. Its panic is reported by the panic hook and goes no further.
pub(super) fn call(link: Link, ending: Ending) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| link(ending))) {
        discard(payload);
    }
}
