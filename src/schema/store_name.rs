//! The one rule for the names of stores.

use crate::error::{Error, Result};

/// A store's name is a folder's name, a key's owner and a part of every answer's key.
pub fn check_store(store: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    if (1..=64).contains(&store.len()) && store.bytes().all(fits) {
        return Ok(());
    }
    Err(Error::invalid("store: a name has 1 to 64 characters: lowercase letters, digits, - and _"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stores_name_is_a_plain_word() {
        for name in ["shop", "shop-2_b", &"a".repeat(64)] {
            assert!(check_store(name).is_ok(), "{name}");
        }
        for name in ["", "My.Shop", "a b", "../a", "ä", &"a".repeat(65)] {
            assert!(check_store(name).is_err(), "{name}");
        }
    }
}
