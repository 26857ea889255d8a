//! Promises of a way.

use super::*;

fn node(n: usize) -> NodeId {
    NodeId::parse(&format!("n{n}")).unwrap()
}

fn way(nodes: impl IntoIterator<Item = usize>) -> Way {
    let nodes = nodes.into_iter();
    nodes.fold(Way::default(), |way, n| way.by(&node(n)))
}

#[test]
fn the_last_node_of_a_way_tells_the_next() {
    assert_eq!(way([]).last(), None);
    assert_eq!(way([1, 2]).last(), Some(&node(2)));
    assert_eq!(way([1, 2, 3]).before(&node(2)), Some(way([1])));
    assert_eq!(way([1, 2, 1, 3]).before(&node(1)), Some(way([1, 2])));
    assert_eq!(way([1, 2]).before(&node(1)), None);
    assert_eq!(way([1, 2]).before(&node(3)), None);
}

#[test]
fn a_way_is_bounded() {
    let long = way(0..100);
    assert_eq!(long, way(100 - MAX_NODES..100));
    assert!(!long.passes(&node(0)));
}
