//! Who is online, on every node of the cluster: the values behind `connected_uids`.

pub mod rules;
