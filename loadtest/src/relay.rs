//! A relay between clients and the node that counts what passes.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use anyhow::Result;

use crate::sockets;

/// Takes connections for as long as this process lives; bytes on their way to clients are counted.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    down: Arc<AtomicU64>,
}

impl Relay {
    /// # Errors
    /// No free port.
    pub(crate) fn start(target: SocketAddr) -> Result<Relay> {
        let listener = sockets::listen(64)?;
        let address = listener.local_addr()?;
        let down = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&down);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that finds no node is closed, and says so itself.
                let Ok(node) = sockets::connect(target, Ipv4Addr::LOCALHOST) else {
                    continue;
                };
                let _quick = client.set_nodelay(true);
                let (Ok(from_client), Ok(to_node)) = (client.try_clone(), node.try_clone()) else {
                    continue;
                };
                let counter = Arc::clone(&counter);
                thread::spawn(move || copy(from_client, to_node, &AtomicU64::new(0)));
                thread::spawn(move || copy(node, client, &counter));
            }
        });
        Ok(Relay { address, down })
    }

    /// Bytes passed to clients so far.
    pub(crate) fn to_clients(&self) -> u64 {
        self.down.load(Ordering::SeqCst)
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, counter: &AtomicU64) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(bytes) = from.read(&mut buffer) {
        // Counted before it is passed on: whoever has received it finds it counted.
        counter.fetch_add(bytes as u64, Ordering::SeqCst);
        if bytes == 0 || to.write_all(&buffer[..bytes]).is_err() {
            break;
        }
    }
    // The other side may have gone first.
    let _gone = to.shutdown(Shutdown::Both);
}
