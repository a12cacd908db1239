//! Writes the supervisor's frames. No serializer is needed: every field is a number or a name of
//! the protocol, and a task's payload is already text.

use serde_json::value::RawValue;

use super::PROTOCOL_VERSION;
use super::json::leading_integer;

/// The content of the first frame to a worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Init<'a> {
    /// The slot, from 1 on, which stays the same over restarts.
    pub worker_id: u32,
    /// The name of the pool.
    pub pool: &'a str,
    /// The worker's depth in pools within pools: 1 unless the pool itself is in a worker.
    pub depth: u32,
    /// The process that the worker must not outlive.
    pub parent_pid: u32,
    /// The most tasks that run in the worker at a time.
    pub concurrency: u32,
    /// The longest payload, in bytes, in either direction.
    pub max_message_size: u64,
    /// The format of payloads.
    pub serialization: Serialization,
    /// JSON text that has no meaning for the supervisor.
    pub options: &'a RawValue,
}

/// The format of payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Serialization {
    /// JSON, with binary data beside it.
    Json,
    /// V8's own format.
    Advanced,
}

/// The reason for which a running task should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbortReason {
    /// The caller has aborted it.
    Abort,
    /// Its deadline has passed.
    Timeout,
}

impl AbortReason {
    /// Returns the reason as the frame names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Abort => "abort",
            Self::Timeout => "timeout",
        }
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct InitFrame<'a> {
    r#type: &'static str,
    version: u32,
    worker_id: u32,
    pool: &'a str,
    depth: u32,
    parent_pid: u32,
    concurrency: u32,
    max_message_size: u64,
    serialization: Serialization,
    options: &'a RawValue,
}

/// Returns the `init` frame with its newline.
pub(crate) fn init(init: &Init<'_>) -> Vec<u8> {
    let frame = InitFrame {
        r#type: "init",
        version: PROTOCOL_VERSION,
        worker_id: init.worker_id,
        pool: init.pool,
        depth: init.depth,
        parent_pid: init.parent_pid,
        concurrency: init.concurrency,
        max_message_size: init.max_message_size,
        serialization: init.serialization,
        options: init.options,
    };
    let mut out = serde_json::to_vec(&frame)
        .expect("a struct of numbers, strings and raw JSON always serializes");
    // The user may have written the options over several lines. Inside JSON a line break is white
    // space, because RawValue has checked that strings escape it.
    for byte in &mut out {
        if *byte == b'\n' {
            *byte = b' ';
        }
    }
    out.push(b'\n');
    out
}

/// Appends the beginning of a `task` frame:
/// `{"bytes":[5],"shared":0,"type":"task","id":1,"epoch":2,"attempt":2`.
///
/// Members are left out where they say nothing, because the worker has to parse the frame. `bytes`
/// needs raw bytes, and `shared` needs them in the shared memory. `epoch` is left out if it is 0 or
/// the worker has no page, `attempt` if it is 1.
///
/// The caller appends the remaining members, `}`, a newline, and the raw bytes if they are not
/// shared.
pub(crate) fn task_prefix(
    out: &mut Vec<u8>,
    id: u64,
    epoch: Option<u32>,
    attempt: u32,
    bytes: &[usize],
    shared: Option<u64>,
) {
    let mut digits = itoa::Buffer::new();
    open(out, bytes, shared);
    out.extend_from_slice(b"\"type\":\"task\",\"id\":");
    out.extend_from_slice(digits.format(id).as_bytes());
    if let Some(epoch) = epoch.filter(|epoch| *epoch != 0) {
        out.extend_from_slice(b",\"epoch\":");
        out.extend_from_slice(digits.format(epoch).as_bytes());
    }
    if attempt != 1 {
        out.extend_from_slice(b",\"attempt\":");
        out.extend_from_slice(digits.format(attempt).as_bytes());
    }
}

/// Appends the beginning of a `message` frame. The caller appends the rest, as after
/// [`task_prefix`].
pub(crate) fn message_prefix(out: &mut Vec<u8>, bytes: &[usize], shared: Option<u64>) {
    open(out, bytes, shared);
    out.extend_from_slice(b"\"type\":\"message\"");
}

/// Appends the brace, and the members that locate the raw bytes.
fn open(out: &mut Vec<u8>, bytes: &[usize], shared: Option<u64>) {
    out.push(b'{');
    let Some((first, others)) = bytes.split_first() else { return };
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(b"\"bytes\":[");
    out.extend_from_slice(digits.format(*first).as_bytes());
    for length in others {
        out.push(b',');
        out.extend_from_slice(digits.format(*length).as_bytes());
    }
    out.extend_from_slice(b"],");
    if let Some(position) = shared {
        out.extend_from_slice(b"\"shared\":");
        out.extend_from_slice(digits.format(position).as_bytes());
        out.push(b',');
    }
}

/// Appends a `credit` frame: the task `id` may send `count` more values.
pub(crate) fn credit(out: &mut Vec<u8>, id: u64, count: u32) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(b"{\"type\":\"credit\",\"id\":");
    out.extend_from_slice(digits.format(id).as_bytes());
    out.extend_from_slice(b",\"count\":");
    out.extend_from_slice(digits.format(count).as_bytes());
    out.extend_from_slice(b"}\n");
}

/// Takes apart the line of a `task` frame with only an id and a payload, and returns the id, the
/// epoch and the payload. `None`: it has other members, or is another frame. The line comes from
/// the supervisor, so no other text can stand where these members are.
pub(crate) fn plain_task(line: &[u8]) -> Option<(u64, u64, &[u8])> {
    let (id, rest) = leading_integer(line.strip_prefix(b"{\"type\":\"task\",\"id\":")?)?;
    let (epoch, rest) = match rest.strip_prefix(b",\"epoch\":") {
        Some(rest) => leading_integer(rest)?,
        None => (0, rest),
    };
    Some((id, epoch, rest.strip_prefix(b",\"task\":")?.strip_suffix(b"}")?))
}

/// Appends an `abort` frame: the task `id` should stop, and then answer.
pub(crate) fn abort(out: &mut Vec<u8>, id: u64, reason: AbortReason) {
    out.extend_from_slice(b"{\"type\":\"abort\",\"id\":");
    out.extend_from_slice(itoa::Buffer::new().format(id).as_bytes());
    out.extend_from_slice(b",\"reason\":\"");
    out.extend_from_slice(reason.as_str().as_bytes());
    out.extend_from_slice(b"\"}\n");
}

/// Appends a `stop` frame: the worker should finish the running tasks, then exit.
pub(crate) fn stop(out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"stop\"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn task_prefix_has_only_the_keys_it_needs() {
        let plain = text(|out| task_prefix(out, 7, None, 1, &[], None));
        assert_eq!(plain, r#"{"type":"task","id":7"#);
        assert_eq!(text(|out| task_prefix(out, 7, Some(0), 1, &[], None)), plain);
        let full = text(|out| task_prefix(out, u64::MAX, Some(u32::MAX), 2, &[0, 300], None));
        let expected = r#"{"bytes":[0,300],"type":"task","id":18446744073709551615,"epoch":4294967295,"attempt":2"#;
        assert_eq!(full, expected);
        let shared = text(|out| task_prefix(out, 1, Some(0), 1, &[9], Some(8)));
        assert_eq!(shared, r#"{"bytes":[9],"shared":8,"type":"task","id":1"#);
    }

    #[test]
    fn plain_task_finds_what_task_prefix_wrote_and_nothing_else() {
        let line = |epoch, attempt, bytes: &[usize]| {
            text(|out| {
                task_prefix(out, 7, epoch, attempt, bytes, None);
                out.extend_from_slice(b",\"task\":{\"a\":[1]}}");
            })
        };
        for (epoch, expected) in [(None, 0), (Some(0), 0), (Some(u32::MAX), u64::from(u32::MAX))] {
            let line = line(epoch, 1, &[]);
            assert_eq!(
                plain_task(line.as_bytes()),
                Some((7, expected, b"{\"a\":[1]}".as_slice())),
                "{line}"
            );
        }
        let with_header = r#"{"type":"task","id":7,"taskId":3,"task":1}"#;
        let others = [line(None, 2, &[]), line(None, 1, &[3]), with_header.to_owned(), text(stop)];
        for line in others {
            assert_eq!(plain_task(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn message_prefix_says_where_its_raw_bytes_are() {
        assert_eq!(text(|out| message_prefix(out, &[], None)), r#"{"type":"message""#);
        assert_eq!(
            text(|out| message_prefix(out, &[1, 2], None)),
            r#"{"bytes":[1,2],"type":"message""#
        );
        assert_eq!(
            text(|out| message_prefix(out, &[1], Some(64))),
            r#"{"bytes":[1],"shared":64,"type":"message""#
        );
    }

    #[test]
    fn abort_credit_and_stop_are_whole_lines() {
        assert_eq!(text(|out| credit(out, 3, 16)), "{\"type\":\"credit\",\"id\":3,\"count\":16}\n");
        assert_eq!(
            text(|out| abort(out, 3, AbortReason::Timeout)),
            "{\"type\":\"abort\",\"id\":3,\"reason\":\"timeout\"}\n"
        );
        assert_eq!(
            text(|out| abort(out, 3, AbortReason::Abort)),
            "{\"type\":\"abort\",\"id\":3,\"reason\":\"abort\"}\n"
        );
        assert_eq!(text(stop), "{\"type\":\"stop\"}\n");
    }

    #[test]
    fn init_stays_one_line_whatever_it_is_given() {
        let options: &RawValue = serde_json::from_str("{\n \"a\\n\": \"b\"\n}").unwrap();
        let frame = text(|out| {
            *out = init(&Init {
                worker_id: 1,
                pool: "a \"name\"\n",
                depth: 1,
                parent_pid: 123,
                concurrency: 4,
                max_message_size: 67_108_864,
                serialization: Serialization::Advanced,
                options,
            });
        });
        assert_eq!(
            frame,
            concat!(
                r#"{"type":"init","version":1,"workerId":1,"pool":"a \"name\"\n","depth":1,"parentPid":123,"concurrency":4,"#,
                r#""maxMessageSize":67108864,"serialization":"advanced","options":{  "a\n": "b" }}"#,
                "\n"
            )
        );
    }
}
