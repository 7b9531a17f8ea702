//! All statements of a server, by store and id.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rand::TryRngCore as _;
use rand::rngs::OsRng;

use super::results::Quota;
use super::statement::Statement;
use crate::error::{Error, Result};
use crate::serve::access::Caller;
use crate::serve::options::Limits;

/// The folder of results, inside what belongs to the process.
const RESULTS: &str = "results";
/// The length of an id that a client chose: long enough not to be met by accident.
const ID_LENGTH: std::ops::RangeInclusive<usize> = 8..=64;

/// What runs, and what waits to be fetched. Clones share it.
#[derive(Debug, Clone)]
pub struct Statements(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    statements: Mutex<HashMap<(String, String), Arc<Statement>>>,
    pub limits: Limits,
    pub folder: PathBuf,
    pub quota: Arc<Quota>,
}

/// A statement whose rows leave as they are computed; it is known until this is dropped.
#[derive(Debug)]
pub struct Running {
    statement: Arc<Statement>,
    shared: Arc<Shared>,
}

impl std::ops::Deref for Running {
    type Target = Statement;

    fn deref(&self) -> &Statement {
        &self.statement
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.forget(&self.statement);
    }
}

impl Statements {
    /// `scratch` is the process's own folder of what does not fit into memory.
    pub fn new(limits: &Limits, scratch: &Path) -> Self {
        let quota = Arc::new(Quota::new(limits.job_results_bytes));
        let statements = Mutex::default();
        Self(Arc::new(Shared { statements, limits: limits.clone(), folder: scratch.join(RESULTS), quota }))
    }

    /// Notes a statement that answers by itself, under the id that its client chose, or under one of ours.
    pub fn begin(&self, caller: &Caller, id: Option<String>) -> Result<Running> {
        let statement = self.0.add(caller, id, false)?;
        Ok(Running { statement, shared: Arc::clone(&self.0) })
    }

    /// A statement of a store; others are as unknown as those that never were.
    pub fn get(&self, store: &str, id: &str) -> Result<Arc<Statement>> {
        let key = (store.to_owned(), id.to_owned());
        let unknown = || {
            Error::not_found(
                "there is no such statement: it has ended, its result has expired, or it never was",
            )
        };
        self.0.lock().get(&key).cloned().ok_or_else(unknown)
    }

    /// Cancels a statement that runs; drops the result of one that ran.
    pub fn delete(&self, store: &str, id: &str) -> Result<()> {
        let statement = self.get(store, id)?;
        if statement.is_running() {
            statement.cancel();
        } else {
            self.0.forget(&statement);
        }
        Ok(())
    }

    /// Cancels whatever runs and drops every result: the server stops.
    pub fn close(&self) {
        let statements: Vec<_> = self.0.lock().drain().map(|(_, statement)| statement).collect();
        statements.iter().filter(|statement| statement.is_job).for_each(|statement| statement.cancel());
    }
}

impl Shared {
    pub fn add(&self, caller: &Caller, id: Option<String>, is_job: bool) -> Result<Arc<Statement>> {
        let id = match id {
            Some(id) => checked(id)?,
            None => new_id()?,
        };
        let mut statements = self.lock();
        if is_job {
            self.make_room(&mut statements, caller)?;
        }
        match statements.entry((caller.store.clone(), id.clone())) {
            Entry::Occupied(_) => {
                Err(Error::conflict("a statement of this id is known: choose another, or none"))
            }
            Entry::Vacant(free) => {
                let statement = Statement::new(id, &caller.store, &caller.key, is_job);
                Ok(Arc::clone(free.insert(Arc::new(statement))))
            }
        }
    }

    /// Refuses a job where its key has as many as may run; drops the key's oldest result where it has too many.
    fn make_room(
        &self,
        statements: &mut HashMap<(String, String), Arc<Statement>>,
        caller: &Caller,
    ) -> Result<()> {
        let own = statements.values().filter(|statement| {
            statement.is_job && statement.store == caller.store && statement.key == caller.key
        });
        let (running, mut kept): (Vec<_>, Vec<_>) =
            own.cloned().partition(|statement| statement.is_running());
        if running.len() >= self.limits.jobs_per_key {
            return Err(Error::limit(format!(
                "this key has {} jobs that run: wait for one, or cancel one with DELETE /v1/sql/ID",
                running.len()
            )));
        }
        kept.sort_by_key(|statement| statement.begun_at);
        let excess = (kept.len() + 1).saturating_sub(self.limits.jobs_kept_per_key);
        for statement in kept.iter().take(excess) {
            statements.remove(&(statement.store.clone(), statement.id.clone()));
        }
        Ok(())
    }

    pub fn forget(&self, statement: &Arc<Statement>) {
        let key = (statement.store.clone(), statement.id.clone());
        let mut statements = self.lock();
        // Another of the same name may have taken its place.
        if statements.get(&key).is_some_and(|known| Arc::ptr_eq(known, statement)) {
            statements.remove(&key);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Arc<Statement>>> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn checked(id: String) -> Result<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if ID_LENGTH.contains(&id.len()) && id.bytes().all(is_plain) {
        return Ok(id);
    }
    Err(Error::invalid("a statement's id has 8 to 64 letters, digits, - and _"))
}

/// Nobody guesses one.
fn new_id() -> Result<String> {
    let mut bytes = [0; 16];
    OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| Error::internal("no random id could be made").with_source(error))?;
    Ok(hex::encode(bytes))
}
