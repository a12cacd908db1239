//! Reads the inspector's messages, as far as bulkhead needs them, and turns the frames of a stack
//! into text.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The most frames in a stack, from the innermost on.
const MAX_FRAMES: usize = 50;
/// The most characters of a function's name, and of a script's URL.
const MAX_NAME: usize = 200;
const MAX_URL: usize = 1_000;

/// One message of the inspector.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The answer to the request with this number.
    Answer { id: u64 },
    /// JavaScript is paused, with this stack.
    Paused(String),
    /// Any other message.
    Other,
}

/// The URLs of the scripts by id, because frames have only the id.
#[derive(Debug, Default)]
pub(super) struct Scripts(HashMap<String, String>);

#[derive(Deserialize)]
struct Envelope<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScriptParsed<'a> {
    #[serde(borrow)]
    script_id: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Paused<'a> {
    #[serde(borrow)]
    call_frames: Frames<'a>,
}

/// The first frames of a stack.
struct Frames<'a>(Vec<Frame<'a>>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame<'a> {
    #[serde(borrow)]
    function_name: Cow<'a, str>,
    #[serde(borrow)]
    location: Location<'a>,
}

/// A position; both numbers count from 0.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    #[serde(borrow)]
    script_id: Cow<'a, str>,
    line_number: u32,
    #[serde(default)]
    column_number: u32,
}

impl Scripts {
    /// Takes in one message. `None`: the message makes no sense.
    pub(super) fn read(&mut self, text: &str) -> Option<Message> {
        let envelope: Envelope<'_> = serde_json::from_str(text).ok()?;
        if let Some(id) = envelope.id {
            return Some(Message::Answer { id });
        }
        let params = envelope.params.map_or("{}", RawValue::get);
        match envelope.method.as_deref()? {
            "Debugger.scriptParsed" => {
                let ScriptParsed { script_id, url } = serde_json::from_str(params).ok()?;
                self.0.insert(script_id.into_owned(), clean(&url, MAX_URL));
                Some(Message::Other)
            }
            "Debugger.paused" => {
                let paused: Paused<'_> = serde_json::from_str(params).ok()?;
                let lines: Vec<_> =
                    paused.call_frames.0.iter().map(|frame| self.line(frame)).collect();
                Some(Message::Paused(lines.join("\n")))
            }
            _ => Some(Message::Other),
        }
    }

    /// Returns the line of a frame, as in the `stack` of an Error.
    fn line(&self, frame: &Frame<'_>) -> String {
        let url = self.0.get(frame.location.script_id.as_ref()).map_or("", String::as_str);
        let url = if url.is_empty() { "<anonymous>" } else { url };
        let (line, column) = (
            u64::from(frame.location.line_number) + 1,
            u64::from(frame.location.column_number) + 1,
        );
        match clean(&frame.function_name, MAX_NAME) {
            name if name.is_empty() => format!("    at {url}:{line}:{column}"),
            name => format!("    at {name} ({url}:{line}:{column})"),
        }
    }
}

/// Returns the beginning of `text`, without control characters, so that it stays on its line.
fn clean(text: &str, max: usize) -> String {
    text.chars().take(max).map(|char| if char.is_control() { ' ' } else { char }).collect()
}

impl<'de: 'a, 'a> Deserialize<'de> for Frames<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct First;

        impl<'de> Visitor<'de> for First {
            type Value = Vec<Frame<'de>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of frames")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut frames = Vec::new();
                while frames.len() < MAX_FRAMES {
                    match seq.next_element()? {
                        Some(frame) => frames.push(frame),
                        None => return Ok(frames),
                    }
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(frames)
            }
        }

        deserializer.deserialize_seq(First).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(name: &str, script: &str, line: u32) -> serde_json::Value {
        serde_json::json!({
            "callFrameId": "1.1.0", "functionName": name, "url": "", "scopeChain": [{ "type": "local" }],
            "location": { "scriptId": script, "lineNumber": line, "columnNumber": 4 },
        })
    }

    fn paused(frames: &[serde_json::Value]) -> String {
        serde_json::json!({ "method": "Debugger.paused", "params": { "callFrames": frames, "reason": "other" } })
            .to_string()
    }

    fn stack(scripts: &mut Scripts, frames: &[serde_json::Value]) -> String {
        match scripts.read(&paused(frames)) {
            Some(Message::Paused(stack)) => stack,
            other => panic!("{other:?}"),
        }
    }

    fn scripts() -> Scripts {
        let mut scripts = Scripts::default();
        for (id, url) in [("7", "file:///srv/worker.mjs"), ("8", "node:internal/timers"), ("9", "")]
        {
            let params = serde_json::json!({ "scriptId": id, "url": url, "sourceMapURL": "data:…", "hash": "0" });
            let event = serde_json::json!({ "method": "Debugger.scriptParsed", "params": params })
                .to_string();
            assert_eq!(scripts.read(&event), Some(Message::Other));
        }
        scripts
    }

    #[test]
    fn frames_look_like_those_of_an_error() {
        let frames = [
            frame("spin", "7", 11),
            frame("", "8", 0),
            frame("evaluated", "9", 2),
            frame("late", "404", 2),
        ];
        assert_eq!(
            stack(&mut scripts(), &frames),
            "    at spin (file:///srv/worker.mjs:12:5)\n    at node:internal/timers:1:5\n    \
             at evaluated (<anonymous>:3:5)\n    at late (<anonymous>:3:5)"
        );
    }

    #[test]
    fn a_stack_is_cut_to_a_readable_size() {
        let frames: Vec<_> = (0..9_000).map(|line| frame(&"f".repeat(5_000), "7", line)).collect();
        let stack = stack(&mut scripts(), &frames[..200]);
        assert_eq!(stack.lines().count(), MAX_FRAMES);
        assert!(stack.starts_with(&format!(
            "    at {} (file:///srv/worker.mjs:1:5)\n",
            "f".repeat(MAX_NAME)
        )));
        assert!(stack.lines().all(|line| line.chars().count() < MAX_NAME + MAX_URL + 40));
    }

    #[test]
    fn no_name_reaches_out_of_its_line() {
        let stack = stack(&mut scripts(), &[frame("evil\n    at innocent\u{1b}[2J", "7", 0)]);
        assert_eq!(stack, "    at evil     at innocent [2J (file:///srv/worker.mjs:1:5)");
    }

    #[test]
    fn answers_and_other_events_are_told_apart() {
        let mut scripts = scripts();
        assert_eq!(scripts.read(r#"{"id":2,"result":{}}"#), Some(Message::Answer { id: 2 }));
        assert_eq!(
            scripts.read(r#"{"id":3,"error":{"code":-32601,"message":"m"}}"#),
            Some(Message::Answer { id: 3 })
        );
        assert_eq!(
            scripts.read(r#"{"method":"Debugger.resumed","params":{}}"#),
            Some(Message::Other)
        );
        assert_eq!(
            scripts.read(r#"{"method":"Debugger.breakpointResolved"}"#),
            Some(Message::Other)
        );
    }

    #[test]
    fn nonsense_is_nothing() {
        for text in [
            "",
            "{",
            "null",
            "[]",
            "{}",
            "[1,2]",
            r#"{"method":7}"#,
            r#"{"id":-1}"#,
            r#"{"method":"Debugger.paused"}"#,
            r#"{"method":"Debugger.paused","params":{"callFrames":7}}"#,
            r#"{"method":"Debugger.paused","params":{"callFrames":[{"functionName":1}]}}"#,
            r#"{"method":"Debugger.paused","params":{"callFrames":[{"functionName":"f","location":{"scriptId":"1","lineNumber":-1}}]}}"#,
            r#"{"method":"Debugger.scriptParsed","params":{"scriptId":7}}"#,
        ] {
            assert_eq!(scripts().read(text), None, "{text}");
        }
        // The depth does no harm, because the parser has a limit of its own.
        assert_eq!(scripts().read(&"[".repeat(100_000)), None);
    }
}
