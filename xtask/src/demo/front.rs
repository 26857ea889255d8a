//! The demo's load balancer: each new connection goes to the next node, no affinity.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Takes connections in a thread of its own, for as long as this process lives.
pub(super) fn serve(listener: TcpListener, nodes: Vec<SocketAddr>) {
    let nodes: Arc<[SocketAddr]> = nodes.into();
    let next = Arc::new(AtomicUsize::new(0));
    thread::spawn(move || {
        for visitor in listener.incoming().flatten() {
            let nodes = Arc::clone(&nodes);
            let next = Arc::clone(&next);
            thread::spawn(move || {
                // A visitor that finds no node is closed: the page tries again.
                if let Some(node) = connect(&nodes, next.fetch_add(1, Ordering::Relaxed)) {
                    let _closed = join(&visitor, &node);
                }
            });
        }
    });
}

/// The node whose turn it is, or the next one that is alive.
fn connect(nodes: &[SocketAddr], turn: usize) -> Option<TcpStream> {
    let order = (0..nodes.len()).map(|step| nodes[(turn + step) % nodes.len()]);
    order
        .filter_map(|node| TcpStream::connect_timeout(&node, Duration::from_secs(2)).ok())
        .next()
}

/// Copies both ways until both have ended; the end of one way is passed on as such.
fn join(visitor: &TcpStream, node: &TcpStream) -> io::Result<()> {
    visitor.set_nodelay(true)?;
    node.set_nodelay(true)?;
    thread::scope(|scope| {
        scope.spawn(|| copy(visitor, node));
        copy(node, visitor);
    });
    Ok(())
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let copied = io::copy(&mut from, &mut to);
    // A broken connection ends both ways at once; a finished one only this way.
    let how = if copied.is_ok() {
        Shutdown::Write
    } else {
        Shutdown::Both
    };
    let _gone = to.shutdown(how);
    if copied.is_err() {
        let _gone = from.shutdown(Shutdown::Both);
    }
}
