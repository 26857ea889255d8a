//! Which subscriptions match a subject: a tree of tokens, as NATS matches.

use std::{collections::HashMap, sync::Arc};

/// A tree of patterns. `T` is what stands behind one subscription.
pub(super) struct Routes<T> {
    root: Node<T>,
}

struct Node<T> {
    children: HashMap<Box<str>, Node<T>>,
    /// Below `*`.
    any: Option<Box<Node<T>>>,
    /// Patterns that end here.
    here: Vec<Arc<T>>,
    /// Patterns that end here with `>`: at least one more token.
    rest: Vec<Arc<T>>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Node {
            children: HashMap::new(),
            any: None,
            here: Vec::new(),
            rest: Vec::new(),
        }
    }
}

impl<T> Node<T> {
    fn is_empty(&self) -> bool {
        self.children.is_empty()
            && self.any.is_none()
            && self.here.is_empty()
            && self.rest.is_empty()
    }
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Routes {
            root: Node::default(),
        }
    }
}

impl<T> Routes<T> {
    /// Adds `entry` under a pattern that was checked before.
    pub(super) fn insert(&mut self, pattern: &str, entry: Arc<T>) {
        let mut node = &mut self.root;
        for token in pattern.split('.') {
            match token {
                ">" => {
                    node.rest.push(entry);
                    return;
                }
                "*" => node = node.any.get_or_insert_default(),
                token => node = node.children.entry(token.into()).or_default(),
            }
        }
        node.here.push(entry);
    }

    /// Takes `entry` out again and forgets what is empty then.
    pub(super) fn remove(&mut self, pattern: &str, entry: &Arc<T>) {
        fn walk<'a, T>(
            node: &mut Node<T>,
            mut tokens: impl Iterator<Item = &'a str>,
            entry: &Arc<T>,
        ) {
            let same = |other: &mut Arc<T>| !Arc::ptr_eq(other, entry);
            match tokens.next() {
                None => node.here.retain_mut(same),
                Some(">") => node.rest.retain_mut(same),
                Some("*") => {
                    if let Some(below) = &mut node.any {
                        walk(below, tokens, entry);
                        if below.is_empty() {
                            node.any = None;
                        }
                    }
                }
                Some(token) => {
                    if let Some(below) = node.children.get_mut(token) {
                        walk(below, tokens, entry);
                        if below.is_empty() {
                            node.children.remove(token);
                        }
                    }
                }
            }
        }
        // A boxed iterator would recurse as well; a plain split is one type on every level.
        walk(&mut self.root, &mut pattern.split('.'), entry);
    }

    /// Calls `each` for every subscription that matches `subject`, each once.
    pub(super) fn matching<'a>(&'a self, subject: &str, each: &mut impl FnMut(&'a Arc<T>)) {
        fn walk<'a, T>(node: &'a Node<T>, rest: Option<&str>, each: &mut impl FnMut(&'a Arc<T>)) {
            let Some(text) = rest else {
                node.here.iter().for_each(each);
                return;
            };
            node.rest.iter().for_each(&mut *each);
            let (token, rest) = match text.split_once('.') {
                Some((token, rest)) => (token, Some(rest)),
                None => (text, None),
            };
            if let Some(below) = &node.any {
                walk(below, rest, each);
            }
            if !node.children.is_empty()
                && let Some(below) = node.children.get(token)
            {
                walk(below, rest, each);
            }
        }
        walk(&self.root, Some(subject), each);
    }

    /// Calls `each` for every subscription there is.
    pub(super) fn all(&self, each: &mut impl FnMut(&Arc<T>)) {
        fn walk<T>(node: &Node<T>, each: &mut impl FnMut(&Arc<T>)) {
            node.here.iter().chain(&node.rest).for_each(&mut *each);
            node.children
                .values()
                .chain(node.any.as_deref())
                .for_each(|below| walk(below, each));
        }
        walk(&self.root, each);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }
}

#[cfg(test)]
mod tests;
