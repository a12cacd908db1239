//! Gives the inspector of each worker a port of its own, if the user's flags have Node open it from
//! the start.
//!
//! Node exits at once if it cannot have its port. So no two workers of this process get the same
//! port, and no worker gets a port on which another process listens. A worker without a port of its
//! own gets any free one.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::net::{IpAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// The lowest port that Node accepts.
const LOWEST: u16 = 1024;

/// The ports of the current workers, in all pools of this process.
static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// The flags of a pool's workers about their inspectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectConfig {
    /// The index in the arguments at which the worker's own port goes. It is behind the user's
    /// flags, because the last flag decides.
    pub position: usize,
    /// The address to listen on; the default address if the flag's host is none.
    pub host: IpAddr,
    /// The first worker's port, which those of the others follow. 0: any free port.
    pub first: u16,
}

/// The port of one worker, held until this is dropped.
#[derive(Debug)]
pub struct Port(u16);

impl InspectConfig {
    /// Reserves the port of this worker, which counts from 1.
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
    /// Returns Node's flag for the port. The address comes from the flags before it.
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

/// Reserves `port`. `false`: another worker has it.
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

    /// Returns a free port with a free one behind it.
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
