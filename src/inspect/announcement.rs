//! Filters the lines that Node prints on standard error when it opens its inspector. If the
//! supervisor asked for the inspector, it takes the lines out. If the user's flags did, the line
//! with the address gets the worker's name in front. All other output passes unchanged, byte for
//! byte.

use tokio::sync::oneshot;

const LISTENING: &str = "Debugger listening on ws://";
const ENDING: &str = "Debugger ending on ws://";
const HELP: &str = "For help, see: https://nodejs.org/";
const ATTACHED: &str = "Debugger attached.";
const WAITING: &str = "Waiting for the debugger to disconnect...";

/// The longest line of Node's about its inspector, in bytes.
const MAX_LINE: usize = 256;

/// The lines about the inspector in one worker's standard error.
#[derive(Debug, Default)]
pub(crate) struct Announcements {
    /// The text to put in front of the address of the inspector that the user's flags open. `None`
    /// once the address has come.
    label: Option<String>,
    /// The address of that inspector.
    users: Option<String>,
    /// The line with the label and the address, until it is taken.
    introduction: Option<Vec<u8>>,
    /// The receiver of the address.
    wanted: Option<oneshot::Sender<String>>,
    /// The address of the inspector that the supervisor opened last.
    ours: Option<String>,
    /// The number of help lines still to come: one follows each line that names the address.
    helps: usize,
    /// The beginning of a line that may be one of Node's.
    partial: Vec<u8>,
    /// The rest of the current line passes.
    passing: bool,
}

impl Announcements {
    /// Makes the filter of a worker whose flags open the inspector; `label` names the worker.
    pub(crate) fn labelled(label: String) -> Self {
        Self { label: Some(label), ..Self::default() }
    }

    /// Returns the address of the inspector that the user's flags opened. The worker can open no
    /// other.
    pub(crate) fn users(&self) -> Option<&str> {
        self.users.as_deref()
    }

    /// Takes the line that names that inspector and its worker. `None`: it has not come, or was
    /// taken.
    pub(crate) fn introduction(&mut self) -> Option<Vec<u8>> {
        self.introduction.take()
    }

    /// Notes that the worker opens the inspector, whose address goes to `wanted`.
    pub(crate) fn expect(&mut self, wanted: oneshot::Sender<String>) {
        self.wanted = Some(wanted);
        self.ours = None;
    }

    /// Takes in a chunk, and returns the part of it that passes.
    pub(crate) fn filter(&mut self, chunk: &[u8]) -> Vec<u8> {
        let mut rest = Vec::with_capacity(chunk.len());
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            let ends = piece.ends_with(b"\n");
            if self.passing {
                rest.extend_from_slice(piece);
                self.passing = !ends;
                continue;
            }
            self.partial.extend_from_slice(piece);
            if ends {
                self.put_label();
            }
            let ours = match ends {
                true => self.take(),
                false if self.may_be_ours() => continue,
                false => false,
            };
            if !ours {
                rest.extend_from_slice(&self.partial);
                self.passing = !ends;
            }
            self.partial.clear();
        }
        rest
    }

    /// Ends the filter with its stream, and returns what it still held.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        self.wanted = None;
        std::mem::take(&mut self.partial)
    }

    /// Puts the label in front of the current line, if that names the address of the user's
    /// inspector.
    fn put_label(&mut self) {
        let Some(label) = &self.label else { return };
        let line = std::str::from_utf8(&self.partial).ok();
        let Some(address) = line.and_then(|line| line.trim_end().strip_prefix(LISTENING)) else {
            return;
        };
        self.users = Some(format!("ws://{address}"));
        self.partial = [label.as_bytes(), &self.partial].concat();
        self.introduction = Some(self.partial.clone());
        self.label = None;
    }

    /// Returns whether the current, complete line is about the supervisor's inspector.
    fn take(&mut self) -> bool {
        let Ok(line) = std::str::from_utf8(&self.partial) else { return false };
        let line = line.trim_end();
        if let Some(rest) = line.strip_prefix(LISTENING)
            && let Some(wanted) = self.wanted.take()
        {
            // The receiver is gone if the capture has timed out.
            let _ = wanted.send(format!("ws://{rest}"));
            self.ours = Some(rest.to_owned());
            self.helps += 1;
            return true;
        }
        if self.ours.is_none() {
            return false;
        }
        if line.strip_prefix(ENDING) == self.ours.as_deref() {
            self.helps += 1;
            return true;
        }
        if self.helps > 0 && line.starts_with(HELP) {
            self.helps -= 1;
            return true;
        }
        line == ATTACHED || line == WAITING
    }

    fn may_be_ours(&self) -> bool {
        let partial = self.partial.as_slice();
        let begins = |line: &&str| {
            partial.starts_with(line.as_bytes()) || line.as_bytes().starts_with(partial)
        };
        (self.label.is_some() || self.wanted.is_some() || self.ours.is_some())
            && partial.len() <= MAX_LINE
            && [LISTENING, ENDING, HELP, ATTACHED, WAITING].iter().any(begins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "ws://127.0.0.1:33005/576bc918-3398-43b6-9967-2af6caeed5a4";
    const HELP_LINE: &str = "For help, see: https://nodejs.org/en/docs/inspector\n";

    fn expecting() -> (Announcements, oneshot::Receiver<String>) {
        let (wanted, url) = oneshot::channel();
        let mut announcements = Announcements::default();
        announcements.expect(wanted);
        (announcements, url)
    }

    fn all(announcements: &mut Announcements, text: &str, size: usize) -> String {
        let mut rest: Vec<u8> =
            text.as_bytes().chunks(size).flat_map(|chunk| announcements.filter(chunk)).collect();
        rest.extend(announcements.finish());
        String::from_utf8(rest).expect("the text was UTF-8")
    }

    #[test]
    fn takes_what_is_ours_and_leaves_the_rest_however_it_is_cut() {
        let text = format!(
            "before\nDebugger listening on {URL}\nbetween\n{HELP_LINE}Debugger attached.\nDeb\n\nDebugger ending on {URL}\n\
             {HELP_LINE}Waiting for the debugger to disconnect...\nWaiting\nbehind, and no newline"
        );
        for size in 1..text.len() {
            let (mut announcements, mut url) = expecting();
            assert_eq!(
                all(&mut announcements, &text, size),
                "before\nbetween\nDeb\n\nWaiting\nbehind, and no newline"
            );
            assert_eq!(url.try_recv().as_deref(), Ok(URL));
        }
    }

    #[test]
    fn lines_that_we_have_not_caused_pass() {
        let (mut announcements, mut url) = expecting();
        let other = "ws://127.0.0.1:9229/0a628b82-847c-4209-8bc1-ddb9f2c5f74b";
        // The supervisor's inspector is the first that listens. Another one may end, and print
        // help.
        let text =
            format!("{HELP_LINE}Debugger attached.\nDebugger listening on {URL}\n{HELP_LINE}");
        let theirs =
            format!("Debugger listening on {other}\n{HELP_LINE}Debugger ending on {other}\n");
        let rest = all(&mut announcements, &format!("{text}{theirs}"), 4096);
        assert_eq!(rest, format!("{HELP_LINE}Debugger attached.\n{theirs}"));
        assert_eq!(url.try_recv().as_deref(), Ok(URL));
    }

    #[test]
    fn a_second_time_works_as_the_first() {
        let (mut announcements, _url) = expecting();
        let said = format!("Debugger listening on {URL}\n{HELP_LINE}");
        assert_eq!(announcements.filter(said.as_bytes()), b"");
        let (wanted, mut url) = oneshot::channel();
        announcements.expect(wanted);
        assert_eq!(announcements.filter(said.as_bytes()), b"");
        assert_eq!(url.try_recv().as_deref(), Ok(URL));
    }

    #[test]
    fn the_users_own_gets_its_label_once() {
        let text = format!(
            "{HELP_LINE}De\nDebugger listening on {URL}\n{HELP_LINE}Debugger listening on {URL}\nend"
        );
        let expected = text.replacen("Debugger listening", "pool worker 3: Debugger listening", 1);
        for size in 1..text.len() {
            let mut announcements = Announcements::labelled("pool worker 3: ".to_owned());
            assert_eq!(announcements.users(), None);
            assert_eq!(all(&mut announcements, &text, size), expected);
            assert_eq!(announcements.users(), Some(URL));
            let line = announcements.introduction().expect("it has come");
            assert_eq!(line, format!("pool worker 3: Debugger listening on {URL}\n").as_bytes());
            assert_eq!(announcements.introduction(), None);
        }
    }

    #[test]
    fn nothing_is_held_back_for_long() {
        let (mut announcements, _url) = expecting();
        let endless = format!("{LISTENING}{}", "x".repeat(10 * MAX_LINE));
        assert_eq!(announcements.filter(endless.as_bytes()), endless.as_bytes());
        assert_eq!(announcements.filter(b"more\nDebug"), b"more\n");
        assert_eq!(announcements.finish(), b"Debug");
    }

    #[test]
    fn bytes_that_are_no_text_pass() {
        let (mut announcements, _url) = expecting();
        assert_eq!(
            announcements.filter(b"\xff\xfe\nDebugger \xff\n"),
            b"\xff\xfe\nDebugger \xff\n"
        );
    }
}
