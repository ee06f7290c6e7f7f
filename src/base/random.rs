//! Chance: random bytes for tags and request ids, and random parts of waits.
//! They are no secrets.

use std::sync::{Mutex, PoisonError};

use crate::base::error::Error;
use crate::base::status::Status;

/// How many are asked of the system at once: asking for each name would cost
/// more than all else that is done for it.
const AT_ONCE: usize = 512;

/// The random bytes of one client. A client does not live in two processes, so
/// no two of them name things alike.
pub(crate) struct Random(Mutex<Pool>);

struct Pool {
    bytes: [u8; AT_ONCE],
    left: usize,
}

impl Default for Random {
    fn default() -> Self {
        Self(Mutex::new(Pool {
            bytes: [0; AT_ONCE],
            left: 0,
        }))
    }
}

impl Random {
    /// Bytes that were never given out before.
    pub(crate) fn take<const N: usize>(&self) -> Result<[u8; N], Error> {
        const { assert!(N <= AT_ONCE) };
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.left < N {
            pool.left = 0;
            getrandom::fill(&mut pool.bytes).map_err(|error| {
                Error::new(Status::Internal, format!("no random bytes: {error}"))
            })?;
            pool.left = AT_ONCE;
        }
        let at = AT_ONCE - pool.left;
        pool.left -= N;
        let mut taken = [0; N];
        taken.copy_from_slice(&pool.bytes[at..at + N]);
        Ok(taken)
    }
}

/// A number from 0 to 1, so that what many do is not done at once. `None` if
/// the system has no random bytes.
pub(crate) fn part() -> Option<f64> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).ok()?;
    Some(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn never_gives_the_same_twice() {
        let random = Random::default();
        let mut seen = HashSet::new();
        for _ in 0..200 {
            assert!(seen.insert(random.take::<8>().expect("the system has some").to_vec()));
            assert!(seen.insert(random.take::<16>().expect("the system has some").to_vec()));
        }
    }
}
