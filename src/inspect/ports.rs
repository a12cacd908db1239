//! A port of its own for the inspector of each worker, where the user's flags have Node open it
//! from the beginning.
//!
//! Node ends at once if it cannot have its port. So no two workers of this process are given the
//! same one, and none that somebody else listens on; these get any that is free.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::net::{IpAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// Below it Node takes no port.
const LOWEST: u16 = 1024;

/// Ports of the workers that there are, in all pools of this process.
static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// What the flags of a pool's workers say about their inspectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectConfig {
    /// Where among the arguments the worker's own port is to stand: behind the flags, of which the
    /// last decides.
    pub position: usize,
    /// The address to listen on, as far as it is one.
    pub host: IpAddr,
    /// The first worker's port; those of the others follow. 0: any that is free.
    pub first: u16,
}

/// One worker's port, which is its own until this is dropped.
#[derive(Debug)]
pub struct Port(u16);

impl InspectConfig {
    /// The port of this worker, from 1 on.
    pub fn port(&self, worker_id: u32) -> Port {
        Port(
            self.wanted(worker_id)
                .filter(|port| is_free(self.host, *port) && take(*port))
                .unwrap_or(0),
        )
    }

    fn wanted(&self, worker_id: u32) -> Option<u16> {
        if self.first < LOWEST {
            return None;
        }
        u16::try_from(worker_id.saturating_sub(1))
            .ok()
            .and_then(|offset| self.first.checked_add(offset))
    }
}

impl Port {
    /// Node's flag for it. The address is that of the flags before it.
    pub fn flag(&self) -> CString {
        CString::new(format!("--inspect-port={}", self.0)).expect("a number contains no NUL")
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        taken().remove(&self.0);
    }
}

fn taken() -> std::sync::MutexGuard<'static, BTreeSet<u16>> {
    // Every change of the set is one call.
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `false`: another worker has it.
fn take(port: u16) -> bool {
    taken().insert(port)
}

fn is_free(host: IpAddr, port: u16) -> bool {
    TcpListener::bind((host, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn from(first: u16) -> InspectConfig {
        InspectConfig { position: 0, host: HOST, first }
    }

    /// A port that is free, with a free one behind it.
    fn two_free() -> u16 {
        loop {
            let listener = TcpListener::bind((HOST, 0)).expect("there are free ports");
            let port = listener.local_addr().expect("it has an address").port();
            if port < u16::MAX && is_free(HOST, port + 1) {
                return port;
            }
        }
    }

    #[test]
    fn each_worker_has_the_one_behind_the_one_before() {
        let config = from(9300);
        assert_eq!([1, 2, 40].map(|id| config.wanted(id)), [Some(9300), Some(9301), Some(9339)]);
    }

    #[test]
    fn what_is_no_port_is_any() {
        assert_eq!(from(0).port(3).flag().as_c_str(), c"--inspect-port=0");
        assert_eq!(from(u16::MAX).wanted(2), None);
        assert_eq!(from(9300).wanted(u32::MAX), None);
    }

    #[test]
    fn a_port_is_given_to_one_worker_at_a_time() {
        let first = two_free();
        let config = from(first);
        let port = config.port(1);
        assert_eq!(port.0, first);
        assert_eq!(config.port(1).0, 0);
        assert_eq!(config.port(2).0, first + 1);
        drop(port);
        assert_eq!(config.port(1).0, first);
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_given() {
        let first = two_free();
        let _listener = TcpListener::bind((HOST, first)).expect("it was free a moment ago");
        assert_eq!(from(first).port(1).0, 0);
        assert_eq!(from(first).port(2).0, first + 1);
    }
}
