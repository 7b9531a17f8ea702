//! Which store a command speaks of.

use super::exit::{Failure, Outcome};
use crate::engine::Engine;

/// The store named; or, where none is named, the only one there is.
pub async fn resolve(engine: &Engine, named: Option<&str>) -> Outcome<String> {
    if let Some(name) = named {
        return Ok(name.to_owned());
    }
    let stores = engine.stores().await?;
    match stores.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Failure::usage("no store has landed rows yet, name one by --store")),
        several => Err(Failure::usage(format!(
            "there are {} stores, choose one by --store (known: {})",
            several.len(),
            several.join(", ")
        ))),
    }
}

/// The same for reading, where a store that is not there is an error, not an empty answer.
pub async fn resolve_existing(engine: &Engine, named: Option<&str>) -> Outcome<String> {
    let store = resolve(engine, named).await?;
    if named.is_some() {
        let stores = engine.stores().await?;
        if !stores.contains(&store) {
            let known = stores.iter().map(String::as_str);
            return Err(crate::Error::unknown("store", &store, known).into());
        }
    }
    Ok(store)
}
