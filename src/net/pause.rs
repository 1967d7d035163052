//! Pausing while descriptors or memory have run out: trying again at once would only burn the processor.

use std::io;
use std::time::Duration;

use crate::sys::socket;
use crate::time::sleep;

/// The first pause of a shortage.
const SHORTEST: Duration = Duration::from_millis(5);

/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(1);

/// The pauses of whoever accepts connections.
#[derive(Debug)]
pub(super) struct Pause(Duration);

impl Pause {
    /// No shortage yet.
    pub(super) const fn new() -> Pause {
        Pause(SHORTEST)
    }

    /// Calls `accept` until it fails not for a shortage. Parks the caller in between, longer each time.
    pub(super) fn over_shortages<R>(&mut self, mut accept: impl FnMut() -> io::Result<R>) -> io::Result<R> {
        loop {
            match accept() {
                Err(error) if socket::is_shortage(&error) && !std::thread::panicking() => {
                    sleep(self.0);
                    self.0 = (self.0 * 2).min(LONGEST);
                }
                result => {
                    self.0 = SHORTEST;
                    return result;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_after_a_shortage_and_tells_other_errors() {
        let mut left = 2;
        let mut pause = Pause::new();
        let result = pause.over_shortages(|| {
            if left > 0 {
                left -= 1;
                return Err(io::Error::from_raw_os_error(24));
            }
            Ok(left)
        });
        assert_eq!(result.expect("went on"), 0);
        let error = pause
            .over_shortages(|| Err::<(), _>(io::ErrorKind::InvalidInput.into()))
            .expect_err("told");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
