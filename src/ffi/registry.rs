//! Handles: ids that are never reused, resolved here.
//!
//! In C a handle is a pointer to an opaque type, but its value is an id with
//! a type tag in its top bits. No id is a valid address on a 64-bit machine,
//! so a garbage collector never takes one for a pointer of its own, and a
//! freed, foreign or made-up handle is just an id that is not found.

use std::collections::HashMap;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::client::kneo_client;
use super::feed::kneo_feed;
use super::orderfeed::kneo_order_feed;
use super::response::kneo_response;
use crate::base::error::Error;
use crate::base::process::PerProcess;
use crate::base::status::Status;
use crate::client::Client;
use crate::feeds::market::Feed;
use crate::feeds::orders::OrderFeed;

/// What is said of a handle that is not found, after its name.
macro_rules! dead_handle {
    () => {
        "NULL, freed or foreign handle"
    };
}
pub(super) use dead_handle;

/// Ties a handle's C type to its name, its table, and what is behind it.
pub(super) trait Handle: Sized + 'static {
    type Value: Clone;
    /// What messages call it.
    const NAME: &'static str;

    fn table(registry: &Registry) -> &Table<Self>;
}

/// A handle for `value`.
pub(super) fn hand_out<H: Handle>(value: H::Value) -> *mut H {
    H::table(registry()).insert(value)
}

/// What is behind a handle; `None` if it is dead.
pub(super) fn get<H: Handle>(handle: *const H) -> Option<H::Value> {
    H::table(registry()).get(handle)
}

/// The same for calls that can say what is wrong.
pub(super) fn find<H: Handle>(handle: *const H) -> Result<H::Value, Error> {
    get(handle).ok_or_else(|| {
        let message = format!(concat!("{}: ", dead_handle!()), H::NAME);
        Error::new(Status::InvalidHandle, message)
    })
}

/// Takes a handle back. `None` if it is dead already.
pub(super) fn take_back<H: Handle>(handle: *const H) -> Option<H::Value> {
    H::table(registry()).remove(handle)
}

/// Where a caller wants a new handle: his trailing `out`.
pub(super) struct Place<H>(*mut *mut H);

impl<H: Handle> Place<H> {
    /// Sets it to NULL, which it stays on failure.
    ///
    /// # Safety
    ///
    /// `out` must be NULL or point to a writable pointer, for as long as the
    /// result is used.
    pub(super) unsafe fn of(out: *mut *mut H) -> Result<Self, Error> {
        if out.is_null() {
            return Err(Error::argument("out", "must not be NULL"));
        }
        // SAFETY: not NULL, and writable as the caller promises.
        unsafe { out.write(ptr::null_mut()) };
        Ok(Self(out))
    }

    pub(super) fn fill(self, value: H::Value) {
        // SAFETY: as promised to `of`.
        unsafe { self.0.write(hand_out(value)) };
    }
}

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
pub(super) struct Table<H: Handle> {
    tag: usize,
    next: AtomicUsize,
    live: Mutex<HashMap<usize, H::Value>>,
}

impl<H: Handle> Table<H> {
    fn new(tag: usize) -> Self {
        Self {
            tag,
            next: AtomicUsize::new(1),
            live: Mutex::default(),
        }
    }

    fn insert(&self, value: H::Value) -> *mut H {
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

    fn get(&self, handle: *const H) -> Option<H::Value> {
        self.lock().get(&handle.addr()).cloned()
    }

    fn remove(&self, handle: *const H) -> Option<H::Value> {
        self.lock().remove(&handle.addr())
    }

    /// Takes all values out.
    fn drain(&self) -> Vec<H::Value> {
        self.lock().drain().map(|(_, value)| value).collect()
    }

    fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, H::Value>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handles of one process.
pub(super) struct Registry {
    pub(super) clients: Table<kneo_client>,
    pub(super) responses: Table<kneo_response>,
    pub(super) feeds: Table<kneo_feed>,
    pub(super) order_feeds: Table<kneo_order_feed>,
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
    /// How many handles are not freed yet.
    pub(super) fn live(&self) -> usize {
        let feeds = self.feeds.len() + self.order_feeds.len();
        self.clients.len() + self.responses.len() + feeds
    }

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

    /// A handle of its own kind: the tests share a process.
    struct Number;

    impl Handle for Number {
        type Value = i32;
        const NAME: &'static str = "number";

        fn table(_: &Registry) -> &Table<Self> {
            unreachable!("the tests make their tables themselves")
        }
    }

    #[test]
    fn ids_are_typed_unique_and_no_addresses() {
        let (one, other) = (Table::<Number>::new(TAGS[0]), Table::<Number>::new(TAGS[1]));
        let first = one.insert(7);
        let second = one.insert(8);
        let foreign = other.insert(9);
        assert!(first != second && first != foreign);
        assert_eq!(
            (one.get(first), one.get(foreign), one.get(ptr::null())),
            (Some(7), None, None)
        );
        assert_eq!(
            (one.remove(first), one.remove(first), one.get(first)),
            (Some(7), None, None)
        );
        let third = one.insert(7);
        assert_ne!(first, third);
        #[cfg(target_pointer_width = "64")]
        for handle in [second, foreign] {
            let top = handle.addr() >> 47;
            assert!(top != 0 && top != (1 << 17) - 1, "a canonical address");
        }
    }
}
