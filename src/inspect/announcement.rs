//! What Node prints on standard error when it opens its inspector. Because we had it do so: then it
//! is read by us, and by nobody else. Because the user's flags have: then the line with the address
//! says whose it is. Everything around it passes through unchanged, byte for byte.

use tokio::sync::oneshot;

const LISTENING: &str = "Debugger listening on ws://";
const ENDING: &str = "Debugger ending on ws://";
const HELP: &str = "For help, see: https://nodejs.org/";
const ATTACHED: &str = "Debugger attached.";
const WAITING: &str = "Waiting for the debugger to disconnect...";

/// A line of ours is no longer than this, in bytes.
const MAX_LINE: usize = 256;

/// Lines of one worker's standard error, where Node has opened its inspector, or is about to.
#[derive(Debug, Default)]
pub(crate) struct Announcements {
    /// Goes in front of the address of the inspector that the user's flags open, until that has
    /// come.
    label: Option<String>,
    /// That inspector.
    users: Option<String>,
    /// The line with both, until somebody takes it.
    introduction: Option<Vec<u8>>,
    /// Who waits for the address.
    wanted: Option<oneshot::Sender<String>>,
    /// The inspector that we had opened last.
    ours: Option<String>,
    /// Lines of help that are still to come: one behind each line that names the address.
    helps: usize,
    /// The beginning of a line that may become one of ours.
    partial: Vec<u8>,
    /// The rest of the line at hand is not ours.
    passing: bool,
}

impl Announcements {
    /// Of a worker whose flags open the inspector; `label` says which worker it is.
    pub(crate) fn labelled(label: String) -> Self {
        Self { label: Some(label), ..Self::default() }
    }

    /// The inspector that is open by the user's flags: no other can be opened.
    pub(crate) fn users(&self) -> Option<&str> {
        self.users.as_deref()
    }

    /// The line that names that inspector and its worker, once, when it has come.
    pub(crate) fn introduction(&mut self) -> Option<Vec<u8>> {
        self.introduction.take()
    }

    /// The inspector is being opened: its address goes to `wanted`.
    pub(crate) fn expect(&mut self, wanted: oneshot::Sender<String>) {
        self.wanted = Some(wanted);
        self.ours = None;
    }

    /// Takes in a chunk; what is left of it for everybody else.
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

    /// The stream has ended: the rest.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        self.wanted = None;
        std::mem::take(&mut self.partial)
    }

    /// The complete line at hand may be the one that names the address of the user's inspector.
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

    /// Whether the complete line at hand is ours.
    fn take(&mut self) -> bool {
        let Ok(line) = std::str::from_utf8(&self.partial) else { return false };
        let line = line.trim_end();
        if let Some(rest) = line.strip_prefix(LISTENING)
            && let Some(wanted) = self.wanted.take()
        {
            // Whoever waited may have given up; then nobody needs the address.
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
        // Ours is the first that listens; another may end, and need help.
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
