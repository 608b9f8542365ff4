//! The identity of the network namespace this process lives in.

use std::{io, os::fd::AsRawFd};

use socket2::{Domain, Socket, Type};

/// The cookie that `bpf_get_netns_cookie` gives for sockets of this namespace (Linux 5.14).
pub(super) fn cookie() -> io::Result<u64> {
    let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    let mut cookie = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).expect("8 fits");
    // SAFETY: the socket is open for the length of the call, the buffer is 8 writable bytes and
    // `length` says so.
    #[expect(unsafe_code, reason = "no safe wrapper for SO_NETNS_COOKIE")]
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_namespace_has_a_cookie_and_keeps_it() {
        let cookie = super::cookie().expect("Linux 5.14 or newer");
        assert_ne!(cookie, 0);
        assert_eq!(super::cookie().expect("as before"), cookie);
    }
}
