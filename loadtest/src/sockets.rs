//! Loopback sockets by the thousand: source addresses, listening, connecting, resetting.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Connections from one source address. The kernel searches ports one by one: from about ten
/// thousand of one address to one target each connect takes longer than the last.
pub(crate) const PER_SOURCE: usize = 8_000;

/// Source addresses 127.0.0.2, 127.0.0.3 …, each for [`PER_SOURCE`] connections.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    taken: usize,
}

impl Sources {
    pub(crate) fn next(&mut self) -> Ipv4Addr {
        let host = 2 + self.taken / PER_SOURCE;
        self.taken += 1;
        let [.., high, low] = (host as u32).to_be_bytes();
        Ipv4Addr::new(127, 0, high, low)
    }
}

/// A loopback listener on a port of its own.
pub(crate) fn listen(backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Connects from `source`; the port is chosen when the target is known, so one source address
/// serves each target with all its ports.
pub(crate) fn connect(target: SocketAddr, source: Ipv4Addr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    choose_port_late(&socket)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    socket.connect_timeout(&target.into(), Duration::from_secs(10))?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

/// Asks that `bind` fix the address alone and `connect` choose the port (`ip(7)`,
/// IP_BIND_ADDRESS_NO_PORT): otherwise each port serves one target only.
fn choose_port_late(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option takes one int, which lives through the call, on a socket that is open.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Closing sends RST: no TIME_WAIT is left behind.
pub(crate) fn reset_on_close(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// Only 127.0.0.0/8: a load test pointed at somebody else's machine is an attack.
pub(crate) fn is_allowed_target(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.is_loopback())
}

#[cfg(test)]
mod tests;
