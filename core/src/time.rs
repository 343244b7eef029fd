//! Time as an argument: machines never ask for it.

use core::ops::{Add, Sub};
use core::time::Duration;

/// A moment on the host's monotonic clock, in milliseconds since an origin of the host's choice.
///
/// One driver uses one origin for the life of a machine. It is no wall clock: dates in headers are only ever compared
/// with other dates of the same response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// The time that passed since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Millis) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Millis {
    type Output = Millis;
    fn add(self, span: Duration) -> Millis {
        Millis(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Millis {
    type Output = Millis;
    fn sub(self, span: Duration) -> Millis {
        Millis(self.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}
