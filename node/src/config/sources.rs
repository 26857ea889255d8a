//! Where the text of a setting comes from: file, environment, flags, in that order, and what can be wrong with it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::parse::Parse;
use super::{KEYS, Key};

/// Why a node does not start: exit status 64 (EX_USAGE).
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value outside its kind or range.
    #[error("{key} = {value:?} ({from}): expected {expect}")]
    Value {
        /// The setting.
        key: &'static str,
        /// As given; `…` for a secret.
        value: String,
        /// Flag, variable or file.
        from: String,
        /// Kind and range.
        expect: String,
    },
    /// A key that no setting has.
    #[error("unknown key {key:?} ({from}){}", suggestion(.key))]
    Unknown {
        /// As given.
        key: String,
        /// Flag or file.
        from: String,
    },
    /// A file that cannot be read, or is no TOML.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        why: String,
    },
    /// Nodes of a cluster must open each other's cookies.
    #[error(
        "cookie_key is not set, but nats_url is: nodes of one cluster need the same key (TENGEN_COOKIE_KEY, for instance from `openssl rand -base64 48`)"
    )]
    CookieKeyMissing,
}

fn suggestion(wrong: &str) -> String {
    let likely = KEYS.iter().find(|key| {
        let (a, b) = (
            key.name.replace('_', ""),
            wrong.replace(['_', '-', '.'], ""),
        );
        !b.is_empty() && (a.contains(&b) || b.contains(&a))
    });
    likely.map_or_else(String::new, |key| format!("; did you mean {:?}?", key.name))
}

/// Texts by key; a later source replaces an earlier one.
#[derive(Debug, Default)]
pub struct Sources {
    values: HashMap<&'static str, (String, String)>,
    /// `TENGEN_*` variables that no setting has: a warning, not an error, because Kubernetes
    /// puts `TENGEN_PORT` and the like into every container beside a Service of that name.
    pub unknown_variables: Vec<String>,
}

impl Sources {
    /// Reads a TOML file with flat keys.
    ///
    /// # Errors
    /// Unreadable, no TOML, nested or unknown keys.
    pub fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let wrong = |why: String| ConfigError::File {
            path: path.to_owned(),
            why,
        };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| wrong(error.to_string()))?;
        for (name, value) in table {
            let from = path.display().to_string();
            let key = find(&name).ok_or_else(|| ConfigError::Unknown {
                key: name.clone(),
                from: from.clone(),
            })?;
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(flag) => flag.to_string(),
                _ => return Err(wrong(format!("{name}: expected {}", key.kind))),
            };
            self.values.insert(key.name, (text, from));
        }
        Ok(())
    }

    /// Takes the `TENGEN_*` of an environment; secrets also as `TENGEN_*_FILE`.
    ///
    /// # Errors
    /// A secret's file that cannot be read.
    pub fn add_environment(
        &mut self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        for (variable, text) in environment {
            let Some(rest) = variable.strip_prefix("TENGEN_") else {
                continue;
            };
            let name = rest.to_lowercase();
            if let Some(key) = find(&name) {
                self.values.insert(key.name, (text, variable));
            } else if let Some(key) = name
                .strip_suffix("_file")
                .and_then(find)
                .filter(|key| key.secret)
            {
                let text = std::fs::read_to_string(&text).map_err(|error| ConfigError::File {
                    path: PathBuf::from(&text),
                    why: error.to_string(),
                })?;
                self.values
                    .insert(key.name, (text.trim().to_owned(), variable));
            } else if name != "config" {
                self.unknown_variables.push(variable);
            }
        }
        Ok(())
    }

    /// Takes flags as `(name, text)`, dashes or underscores.
    ///
    /// # Errors
    /// Unknown flags.
    pub fn add_flags(
        &mut self,
        flags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        for (name, text) in flags {
            let from = format!("--{}", name.replace('_', "-"));
            let key = find(&name.replace('-', "_")).ok_or_else(|| ConfigError::Unknown {
                key: name.clone(),
                from: from.clone(),
            })?;
            self.values.insert(key.name, (text, from));
        }
        Ok(())
    }

    /// Where the value of `name` came from.
    pub(super) fn origin(&self, name: &str) -> String {
        self.values
            .get(name)
            .map_or_else(|| "default".to_owned(), |(_, from)| from.clone())
    }

    pub(super) fn value<T: Parse>(
        &self,
        name: &'static str,
        bounds: Option<(&str, &str)>,
    ) -> Result<T, ConfigError> {
        let key = find(name).ok_or_else(|| ConfigError::Unknown {
            key: name.to_owned(),
            from: String::new(),
        })?;
        let (text, from) = match self.values.get(name) {
            Some((text, from)) => (text.as_str(), from.as_str()),
            None => (key.default, "default"),
        };
        if text.is_empty()
            && let Some(unset) = T::unset()
        {
            return Ok(unset);
        }
        let within = |value: &T| {
            bounds.is_none_or(|(low, high)| {
                T::parse(low)
                    .is_some_and(|low| T::parse(high).is_some_and(|high| value.within(&low, &high)))
            })
        };
        T::parse(text)
            .filter(within)
            .ok_or_else(|| ConfigError::Value {
                key: key.name,
                value: if key.secret {
                    "…".to_owned()
                } else {
                    text.to_owned()
                },
                from: from.to_owned(),
                expect: if key.range.is_empty() {
                    key.kind.to_owned()
                } else {
                    format!("{}, {}", key.kind, key.range)
                },
            })
    }
}

fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}
