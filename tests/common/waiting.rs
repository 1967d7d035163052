//! Knowing that a greenlet waits, without sleeping.

use std::fmt::Debug;

/// Lets others run until `greenlet`, of this hub, is parked in `what`.
pub(crate) fn until_parked(greenlet: &impl Debug, what: &str) {
    let wanted = format!("parked in {what}");
    loop {
        let state = format!("{greenlet:?}");
        if state.contains(&wanted) {
            return;
        }
        assert!(
            ["parked", "ready", "not started"]
                .iter()
                .any(|word| state.contains(word)),
            "it does not wait and never will: {state}"
        );
        iora::yield_now();
    }
}
