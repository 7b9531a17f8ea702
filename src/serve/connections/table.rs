//! All connections, and the choice of one that gives way if there are too many.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indexmap::IndexMap;
use rand::Rng as _;

use super::connection::{Connection, LONGEST_WAIT};
use super::open_files;

/// Connections that are looked at to find one that may give way. Few are enough: whoever has taken most places is met.
const LOOKED_AT: usize = 32;

/// How many connections there may be, on all doors together, and how long each may be silent.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    pub all: usize,
    pub per_address: usize,
    /// On each door.
    pub per_key: usize,
    pub postgres_per_key: usize,
    /// The time until the first request's header is there, and that of each further header from its first byte on.
    pub header: Duration,
    /// The time between two requests.
    pub idle: Duration,
    /// The time in which a client takes nothing of an answer.
    pub stall: Duration,
}

impl ConnectionLimits {
    fn of_key(&self, door: Door) -> usize {
        if door == Door::Postgres { self.postgres_per_key } else { self.per_key }
    }

    fn clamped(self) -> Self {
        let clamp = |time: Duration| time.min(LONGEST_WAIT);
        Self { header: clamp(self.header), idle: clamp(self.idle), stall: clamp(self.stall), ..self }
    }
}

/// The door that a connection came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    Http,
    Flight,
    Postgres,
}

/// Whom addresses are counted for: of IPv6 the network, since a host has all of its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address(IpAddr);

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(IpAddr::V4(address)),
            IpAddr::V6(address) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                Self(IpAddr::V6(Ipv6Addr::from_bits(network)))
            }
        }
    }
}

/// The connections of all doors. Clones share the places.
#[derive(Debug, Clone)]
pub struct Connections {
    limits: Arc<ConnectionLimits>,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    next_id: u64,
    all: IndexMap<u64, Arc<Connection>>,
    of_address: HashMap<Address, usize>,
    of_key: HashMap<(Door, String), usize>,
}

/// A connection that has a place, until this is dropped.
#[derive(Debug)]
pub struct Entered {
    connection: Arc<Connection>,
    connections: Connections,
}

impl Connections {
    pub fn new(limits: ConnectionLimits) -> Self {
        let limits = ConnectionLimits { all: open_files::room_for(limits.all), ..limits.clamped() };
        Self { limits: Arc::new(limits), open: Arc::default() }
    }

    /// Gives a new connection a place; another that does nothing may have to give way. `None` if none can.
    pub fn enter(&self, door: Door, address: IpAddr) -> Option<Entered> {
        let address = Address::from(address);
        let mut open = self.open();
        if open.count(address) >= self.limits.per_address {
            open.give_up(|connection| connection.address == address)?;
        }
        if open.all.len() >= self.limits.all {
            open.give_up(|_| true)?;
        }
        let id = open.next_id;
        open.next_id += 1;
        let connection = Arc::new(Connection::new(id, door, address));
        open.all.insert(id, Arc::clone(&connection));
        *open.of_address.entry(address).or_default() += 1;
        Some(Entered { connection, connections: self.clone() })
    }

    /// Notes that a connection shows a key. False if the key has too many.
    pub fn has_room_for(&self, connection: &Connection, key: &str) -> bool {
        if connection.key.get().is_some() {
            // A proxy may send other keys on the same connection: it is counted for the first.
            return true;
        }
        let mut open = self.open();
        if !open.all.contains_key(&connection.id) {
            // It has given way in this moment.
            return true;
        }
        let count = open.of_key.entry((connection.door, key.to_owned())).or_default();
        if *count >= self.limits.of_key(connection.door) {
            return false;
        }
        if connection.key.set(key.to_owned()).is_ok() {
            *count += 1;
        }
        true
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn count(&self, address: Address) -> usize {
        self.of_address.get(&address).copied().unwrap_or_default()
    }

    /// Ends one that does nothing: without a key before with one, of whoever has most, the one that waits for longest.
    fn give_up(&mut self, may: impl Fn(&Connection) -> bool) -> Option<()> {
        let first = rand::rng().random_range(0..self.all.len().max(1));
        let looked_at = (0..self.all.len().min(LOOKED_AT)).map(|at| (first + at) % self.all.len());
        let waiting = looked_at.filter_map(|at| {
            let (_, connection) = self.all.get_index(at)?;
            let since = connection.idle_since().filter(|_| may(connection))?;
            let has_key = connection.key.get().is_some();
            Some(((has_key, std::cmp::Reverse(self.count(connection.address)), since), connection))
        });
        let (_, connection) = waiting.min_by_key(|(order, _)| *order)?;
        let connection = Arc::clone(connection);
        connection.give_up();
        self.remove(&connection);
        Some(())
    }

    /// Takes a connection's place back; one that gave way has none any more.
    fn remove(&mut self, connection: &Connection) {
        if self.all.swap_remove(&connection.id).is_none() {
            return;
        }
        lessen(&mut self.of_address, &connection.address);
        if let Some(key) = connection.key.get() {
            lessen(&mut self.of_key, &(connection.door, key.clone()));
        }
    }
}

fn lessen<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Entered {
    pub(super) fn limits(&self) -> &ConnectionLimits {
        &self.connections.limits
    }
}

impl Deref for Entered {
    type Target = Arc<Connection>;

    fn deref(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.connections.open().remove(&self.connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(all: usize, per_address: usize) -> Connections {
        let second = Duration::from_secs(1);
        let (header, idle, stall) = (second, second, second);
        Connections::new(ConnectionLimits {
            all,
            per_address,
            per_key: 2,
            postgres_per_key: 1,
            header,
            idle,
            stall,
        })
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn has_ended(entered: &Entered) -> bool {
        use futures::FutureExt as _;
        entered.is_over(entered.limits()).now_or_never().is_some()
    }

    #[tokio::test]
    async fn one_that_does_nothing_gives_way_and_one_that_answers_does_not() {
        let connections = connections(3, 2);
        let first = connections.enter(Door::Http, address(1)).unwrap();
        let busy = connections.enter(Door::Http, address(1)).unwrap();
        let request = busy.begin();
        let third = connections.enter(Door::Http, address(1)).unwrap();
        assert!(has_ended(&first) && !has_ended(&busy) && !has_ended(&third));
        let requests = [third.begin()];
        assert!(connections.enter(Door::Http, address(1)).is_none(), "both of the address answer");
        let other = connections.enter(Door::Http, address(2)).unwrap();
        let more = connections.enter(Door::Http, address(3)).unwrap();
        assert!(has_ended(&other), "the only one that does nothing");
        drop((request, requests));
        let last = connections.enter(Door::Http, address(3)).unwrap();
        assert!(has_ended(&busy), "of the address that has most, the one that waits for longest");
        assert!(!has_ended(&more) && !has_ended(&last));
        drop((first, busy, third, other, more, last));
        assert!(connections.open().all.is_empty() && connections.open().of_address.is_empty());
    }

    #[tokio::test]
    async fn a_key_has_no_more_than_its_connections() {
        let connections = connections(10, 10);
        let entered: Vec<_> = (0..3).map(|_| connections.enter(Door::Http, address(1)).unwrap()).collect();
        let has_room = |at: usize, key| connections.has_room_for(&entered[at], key);
        assert!(has_room(0, "a") && has_room(0, "a") && has_room(1, "a"));
        assert!(!has_room(2, "a") && has_room(2, "b"));
        let postgres: Vec<_> =
            (0..2).map(|_| connections.enter(Door::Postgres, address(1)).unwrap()).collect();
        assert!(connections.has_room_for(&postgres[0], "a"), "those of another door are counted apart");
        assert!(!connections.has_room_for(&postgres[1], "a"));
        drop((entered, postgres));
        assert!(connections.open().of_key.is_empty());
    }

    #[tokio::test]
    async fn one_that_was_given_up_leaves_no_place_twice() {
        let connections = connections(1, 1);
        let first = connections.enter(Door::Http, address(1)).unwrap();
        let second = connections.enter(Door::Http, address(1)).unwrap();
        drop(first);
        assert_eq!(connections.open().all.len(), 1);
        drop(second);
        assert_eq!(connections.open().all.len(), 0);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let of = |text: &str| Address::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
