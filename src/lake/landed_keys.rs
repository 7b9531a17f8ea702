//! The newest versions of landed keys, kept from scan to scan: of each table and store on its own, within the memory that
//! queries share. What a query needs and is not in use elsewhere gives way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};

use super::newest::NewestVersions;
use crate::error::{Error, Result};

/// The newest versions of one store's landed keys in one table. Whoever holds it brings it up to date.
pub type KeysOfStore = Arc<tokio::sync::Mutex<Option<Arc<NewestVersions>>>>;

/// The keys of every table and store.
#[derive(Debug)]
pub struct LandedKeys {
    pool: Arc<dyn MemoryPool>,
    stores: Mutex<HashMap<(String, String), KeysOfStore>>,
}

/// Says if keys may take memory that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// A query is refused if there is no room.
    Asked,
    /// A compaction goes on: it is what makes room.
    Taken,
}

impl LandedKeys {
    pub fn new(pool: Arc<dyn MemoryPool>) -> Self {
        Self { pool, stores: Mutex::default() }
    }

    pub fn pool(&self) -> &Arc<dyn MemoryPool> {
        &self.pool
    }

    pub fn of_store(&self, table: &str, store: &str) -> KeysOfStore {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.entry((table.to_owned(), store.to_owned())).or_default().clone()
    }

    /// Memory of a map that is to be filled.
    pub fn memory(self: &Arc<Self>, table: &str) -> KeyMemory {
        let reservation = MemoryConsumer::new(format!("landed keys of {table}")).register(&self.pool);
        KeyMemory { keys: Arc::downgrade(self), table: table.to_owned(), reservation }
    }

    /// Forgets all maps that nobody brings up to date at the moment.
    fn make_room(&self) {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        for keys in stores.values() {
            if let Ok(mut keys) = keys.try_lock() {
                *keys = None;
            }
        }
    }
}

/// The memory of one map.
#[derive(Debug)]
pub struct KeyMemory {
    keys: Weak<LandedKeys>,
    table: String,
    reservation: MemoryReservation,
}

impl KeyMemory {
    /// Memory for a copy of the map.
    pub fn another(&self) -> Self {
        let reservation = self.reservation.new_empty();
        Self { keys: self.keys.clone(), table: self.table.clone(), reservation }
    }

    /// Says how many bytes the map holds, or is about to.
    pub fn hold(&self, bytes: usize, room: Room) -> Result<()> {
        if room == Room::Taken {
            self.reservation.resize(bytes);
            return Ok(());
        }
        if self.reservation.try_resize(bytes).is_ok() {
            return Ok(());
        }
        if let Some(keys) = self.keys.upgrade() {
            keys.make_room();
        }
        self.reservation.try_resize(bytes).map_err(|error| {
            Error::limit(format!(
                "table {}: too many rows were landed since the last compaction to be compared in memory; run `tributary \
                 nightly`, or raise limits.query_memory_bytes",
                self.table
            ))
            .with_source(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    use super::*;

    #[test]
    fn what_is_not_in_use_gives_way_and_a_compaction_is_not_refused() {
        let keys = Arc::new(LandedKeys::new(Arc::new(GreedyMemoryPool::new(1_000))));
        let (held, idle) = (keys.memory("orders"), keys.memory("orders"));
        held.hold(400, Room::Asked).unwrap();
        idle.hold(400, Room::Asked).unwrap();
        let idle = Arc::new(NewestVersions::holding(idle));
        *keys.of_store("orders", "b").try_lock().unwrap() = Some(idle);

        let wanted = keys.memory("orders");
        wanted.hold(600, Room::Asked).unwrap();
        assert_eq!(keys.pool().reserved(), 1_000);
        let error = wanted.hold(601, Room::Asked).unwrap_err();
        assert!(error.message().contains("tributary nightly"), "{error}");
        wanted.hold(700, Room::Taken).unwrap();
        assert_eq!(keys.pool().reserved(), 1_100);
        drop((held, wanted));
        assert_eq!(keys.pool().reserved(), 0);
    }
}
