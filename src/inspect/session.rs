//! One session with a worker's inspector, over a WebSocket on the loopback interface.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as WebSocketMessage;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::frames::{Message, Scripts};

/// The longest message, in bytes. A stack of ten thousand frames is this large, and takes longer
/// than the time limit.
const MAX_MESSAGE: usize = 16 << 20;
/// The most bytes of all messages together. A worker with thousands of modules names each of them,
/// with its source map.
const MAX_TOTAL: usize = 64 << 20;

/// The numbers of the supervisor's requests.
const ENABLE: u64 = 1;
const PAUSE: u64 = 2;
const PROBE: u64 = 3;
const DISABLE: u64 = 4;

/// A connection to an inspector.
pub(super) struct Session {
    socket: WebSocketStream<TcpStream>,
    scripts: Scripts,
    received: usize,
}

impl Session {
    /// Connects. `None`: no inspector of this machine has such an address, or none answers.
    pub(super) async fn open(url: &str) -> Option<Self> {
        let address = address(url)?;
        let stream = TcpStream::connect(address).await.ok()?;
        let config = WebSocketConfig::default()
            .read_buffer_size(16 << 10)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        // Node answers no request for the host `0.0.0.0`.
        let (_, uuid) = url.rsplit_once('/')?;
        let (socket, _) =
            client_async_with_config(format!("ws://{address}/{uuid}"), stream, Some(config))
                .await
                .ok()?;
        Some(Self { socket, scripts: Scripts::default(), received: 0 })
    }

    /// Pauses JavaScript and returns its stack. `None`: JavaScript does not run.
    pub(super) async fn stack(&mut self) -> Option<String> {
        self.ask(ENABLE, "Debugger.enable").await?;
        self.ask(PAUSE, "Debugger.pause").await?;
        loop {
            match self.next().await? {
                Message::Paused(stack) => return Some(stack).filter(|stack| !stack.is_empty()),
                // Running JavaScript is paused before it reads any later request.
                Message::Answer { id: PAUSE } => self.ask(PROBE, "Runtime.getIsolateId").await?,
                Message::Answer { id: PROBE } => return None,
                Message::Answer { .. } | Message::Other => {}
            }
        }
    }

    /// Lets JavaScript go on, and disconnects.
    pub(super) async fn leave(mut self) -> Option<()> {
        self.ask(DISABLE, "Debugger.disable").await?;
        while self.next().await? != (Message::Answer { id: DISABLE }) {}
        self.socket.close(None).await.ok()
    }

    async fn ask(&mut self, id: u64, method: &str) -> Option<()> {
        let text = format!(r#"{{"id":{id},"method":"{method}"}}"#);
        self.socket.send(WebSocketMessage::text(text)).await.ok()
    }

    async fn next(&mut self) -> Option<Message> {
        loop {
            let message = self.socket.next().await?.ok()?;
            self.received = self.received.saturating_add(message.len());
            if self.received > MAX_TOTAL {
                return None;
            }
            if let WebSocketMessage::Text(text) = message {
                return self.scripts.read(&text);
            }
        }
    }
}

/// Returns the address to connect to, for `ws://127.0.0.1:<port>/<uuid>` or the same with `[::1]`,
/// `0.0.0.0` or `[::]`.
fn address(url: &str) -> Option<SocketAddr> {
    let (host, path) = url.strip_prefix("ws://")?.split_once('/')?;
    let uuid =
        path.len() == 36 && path.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let mut address: SocketAddr = host.parse().ok()?;
    // An inspector on every address listens on this one, too.
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    let here = address.ip().is_loopback();
    (uuid && here && address.port() != 0).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "576bc918-3398-43b6-9967-2af6caeed5a4";

    #[test]
    fn only_an_inspector_of_this_machine_is_talked_to() {
        for (host, expected) in [
            ("127.0.0.1:33005", true),
            ("[::1]:33005", true),
            ("127.0.0.1:0", false),
            ("127.0.0.1", false),
            ("127.0.0.1:99999", false),
            ("localhost:33005", false),
            ("0.0.0.0:33005", true),
            ("[::]:33005", true),
            ("10.0.0.1:80", false),
            ("169.254.169.254:80", false),
            ("user@127.0.0.1:33005", false),
            ("[::ffff:10.0.0.1]:80", false),
            ("", false),
        ] {
            let address = address(&format!("ws://{host}/{UUID}"));
            assert_eq!(
                address.is_some_and(|address| address.ip().is_loopback()),
                expected,
                "{host}"
            );
            assert_eq!(address.is_some(), expected, "{host}");
        }
        for url in [
            "http://127.0.0.1:1/".to_owned() + UUID,
            "ws://127.0.0.1:1/".to_owned(),
            "ws://127.0.0.1:1/admin/delete?all=1".to_owned(),
            format!("ws://127.0.0.1:1/{UUID}/more"),
            format!("ws://127.0.0.1:1/{}\r\n", &UUID[2..]),
        ] {
            assert_eq!(address(&url), None, "{url}");
        }
    }
}
