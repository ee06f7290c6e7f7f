//! Names that tests have answered themselves, instead of the system. Not in release builds.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What a lookup gives.
#[derive(Clone, Debug)]
pub enum Told {
    /// These addresses, in this order.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    Nothing,
    /// Nothing, until something else is told.
    Hangs,
}

static TABLE: Mutex<Option<HashMap<String, Told>>> = Mutex::new(None);
static CHANGED: Condvar = Condvar::new();

fn table() -> MutexGuard<'static, Option<HashMap<String, Told>>> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on the lookups of `name` in this process give `told`. Tests run side by side: let
/// each have a name of its own.
pub fn tell(name: &str, told: Told) {
    let mut table = table();
    let names = table.get_or_insert_default();
    names.insert(name.to_owned(), told);
    CHANGED.notify_all();
}

pub(super) fn find(name: &str) -> Option<io::Result<Vec<IpAddr>>> {
    let mut table = table();
    loop {
        match table.as_ref()?.get(name)? {
            Told::Addresses(all) => return Some(Ok(all.clone())),
            Told::Nothing => {
                let message = format!("no such name: {name}");
                return Some(Err(io::Error::new(io::ErrorKind::NotFound, message)));
            }
            Told::Hangs => {
                table = CHANGED.wait(table).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}
