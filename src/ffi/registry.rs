//! Handles: ids that are never reused, resolved here.
//!
//! In C a handle is a pointer to an opaque type, but its value is an id with
//! a type tag in its top bits. No id is a valid address on a 64-bit machine,
//! so a garbage collector never takes one for a pointer of its own, and a
//! freed, foreign or made-up handle is just an id that is not found.

use std::collections::HashMap;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::response::Response;
use crate::client::Client;

use crate::feeds::market::Feed;
use crate::feeds::orders::OrderFeed;
use crate::process::PerProcess;

/// Bits below the type tag.
#[cfg(target_pointer_width = "64")]
const ID_BITS: u32 = 48;
#[cfg(not(target_pointer_width = "64"))]
const ID_BITS: u32 = usize::BITS - 4;

const ID_MASK: usize = (1 << ID_BITS) - 1;

/// The tags have no bits in common with a canonical address: those have 17
/// equal bits at the top.
#[cfg(target_pointer_width = "64")]
const TAGS: [usize; 4] = [
    0x4B01 << ID_BITS,
    0x4B02 << ID_BITS,
    0x4B03 << ID_BITS,
    0x4B04 << ID_BITS,
];
#[cfg(not(target_pointer_width = "64"))]
const TAGS: [usize; 4] = [
    0x9 << ID_BITS,
    0xA << ID_BITS,
    0xB << ID_BITS,
    0xC << ID_BITS,
];

/// All live handles of one kind.
pub(super) struct Table<T> {
    tag: usize,
    next: AtomicUsize,
    live: Mutex<HashMap<usize, T>>,
}

impl<T: Clone> Table<T> {
    fn new(tag: usize) -> Self {
        Self {
            tag,
            next: AtomicUsize::new(1),
            live: Mutex::default(),
        }
    }

    /// A handle for `value`.
    pub(super) fn insert<H>(&self, value: T) -> *mut H {
        let mut live = self.lock();
        loop {
            let id = self.tag | self.next.fetch_add(1, Ordering::Relaxed) & ID_MASK;
            // Ids wrap on 32-bit machines only: 48 bits last for centuries.
            if id != self.tag && !live.contains_key(&id) {
                live.insert(id, value);
                return ptr::without_provenance_mut(id);
            }
        }
    }

    pub(super) fn get<H>(&self, handle: *const H) -> Option<T> {
        self.lock().get(&handle.addr()).cloned()
    }

    pub(super) fn remove<H>(&self, handle: *const H) -> Option<T> {
        self.lock().remove(&handle.addr())
    }

    /// Takes all values out.
    pub(super) fn drain(&self) -> Vec<T> {
        self.lock().drain().map(|(_, value)| value).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, T>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handles of one process.
pub(super) struct Registry {
    pub(super) clients: Table<Client>,
    pub(super) responses: Table<Arc<Response>>,
    pub(super) feeds: Table<Feed>,
    pub(super) order_feeds: Table<OrderFeed>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            clients: Table::new(TAGS[0]),
            responses: Table::new(TAGS[1]),
            feeds: Table::new(TAGS[2]),
            order_feeds: Table::new(TAGS[3]),
        }
    }
}

impl Registry {
    /// Ends all that does something. Responses stay.
    pub(super) fn close_all(&self) {
        self.clients.drain().iter().for_each(Client::close);
        self.feeds.drain().iter().for_each(Feed::close);
        self.order_feeds.drain().iter().for_each(OrderFeed::close);
    }
}

static REGISTRY: PerProcess<Registry> = PerProcess::new();

/// The handles of the running process: after `fork` a child has none.
pub(super) fn registry() -> &'static Registry {
    REGISTRY.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_typed_unique_and_no_addresses() {
        let (one, other) = (Table::new(TAGS[0]), Table::new(TAGS[1]));
        let first: *mut u8 = one.insert(7);
        let second: *mut u8 = one.insert(8);
        let foreign: *mut u8 = other.insert(9);
        assert!(first != second && first != foreign);
        assert_eq!(
            (one.get(first), one.get(foreign), one.get(ptr::null::<u8>())),
            (Some(7), None, None)
        );
        assert_eq!(
            (one.remove(first), one.remove(first), one.get(first)),
            (Some(7), None, None)
        );
        let third: *mut u8 = one.insert(7);
        assert_ne!(first, third);
        #[cfg(target_pointer_width = "64")]
        for handle in [second, foreign] {
            let top = handle.addr() >> 47;
            assert!(top != 0 && top != (1 << 17) - 1, "a canonical address");
        }
    }
}
