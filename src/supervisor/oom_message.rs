//! Detects the reason for a worker's exit in its last standard error.

/// Returns whether `stderr` says that memory ran out, and the exit status fits that. The words
/// alone prove nothing: any code may print them, and fail for another reason later.
pub(crate) fn detect_oom_message(stderr: &str, code: Option<i32>, signal: Option<i32>) -> bool {
    // A shell between pool and worker passes a signal on as 128 and its number.
    let signal = signal.or(code.filter(|code| *code > 128).map(|code| code - 128));
    match (signal, code) {
        // V8 ends with a trap or an abort, C++ and Rust with an abort.
        (Some(libc::SIGABRT | libc::SIGTRAP | libc::SIGILL), _) => stderr.lines().any(is_oom_abort),
        // Go has this line. Python prints an uncaught exception as its very last line.
        (None, Some(2))
            if stderr.lines().any(|line| line == "fatal error: runtime: out of memory") =>
        {
            true
        }
        (None, Some(1)) => {
            let last = stderr.lines().map(str::trim_end).rfind(|line| !line.is_empty());
            last.is_some_and(|line| line == "MemoryError" || line.starts_with("MemoryError:"))
        }
        _ => false,
    }
}

/// The codes of exceptions that a worker meets before it can report why it does not start. A
/// preloaded module (`--require`, `--import`) does not exist, or the addon must not or cannot be
/// loaded.
const PRELOAD_ERRORS: [&str; 4] =
    ["MODULE_NOT_FOUND", "ERR_MODULE_NOT_FOUND", "ERR_DLOPEN_DISABLED", "ERR_DLOPEN_FAILED"];

/// Returns whether Node.js, started as `command`, reports that it cannot even begin, because of its
/// flags or of a preloaded module. Every attempt would fail in the same way.
pub(crate) fn detect_node_start_failure(stderr: &str, code: Option<i32>, command: &str) -> bool {
    match code {
        // Node's "invalid argument". User code may exit with 9, too, but not with Node's own words.
        Some(9) => {
            let speakers = stderr.lines().filter_map(|line| line.split_once(": "));
            let own = ["node", file_name(command)];
            speakers.map(|(by, _)| file_name(by)).any(|by| own.contains(&by))
        }
        // An uncaught exception, printed with its fields.
        Some(1) => {
            let fatal = stderr
                .lines()
                .rfind(|line| !line.is_empty())
                .is_some_and(|line| line.starts_with("Node.js v"));
            fatal
                && stderr.lines().filter_map(code_field).any(|code| PRELOAD_ERRORS.contains(&code))
        }
        _ => false,
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Returns the code of an exception, if the line is that field as Node prints it.
fn code_field(line: &str) -> Option<&str> {
    line.strip_prefix("  code: '")?.trim_end_matches(',').strip_suffix('\'')
}

fn is_oom_abort(line: &str) -> bool {
    let line = line.trim_end();
    // The text may follow an unfinished line.
    let v8 = line.find("FATAL ERROR: ").is_some_and(|at| line[at..].ends_with("out of memory"));
    v8 || line.starts_with("# Fatal process out of memory")
        || line.starts_with("# Fatal JavaScript out of memory")
        || line == "terminate called after throwing an instance of 'std::bad_alloc'"
        || (line.starts_with("memory allocation of ") && line.ends_with(" bytes failed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V8: &str = "\n<--- Last few GCs --->\n\n\
        [1:0x1] 90 ms: Mark-Compact 30.1 (32.4) MB\n\n\
        FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n\
        ----- Native stack trace -----\n\n 1: 0xb9c310 node::OOMErrorHandler\n";

    #[test]
    fn v8_says_so_and_aborts() {
        for signal in [libc::SIGABRT, libc::SIGTRAP, libc::SIGILL] {
            assert!(detect_oom_message(V8, None, Some(signal)));
        }
        assert!(detect_oom_message(V8, Some(134), None), "by way of a shell");
        assert!(detect_oom_message(
            "#\n# Fatal process out of memory: Zone\n#\n",
            None,
            Some(libc::SIGTRAP)
        ));
        let behind = "half a line FATAL ERROR: Zone Allocation failed - process out of memory\n";
        assert!(detect_oom_message(behind, None, Some(libc::SIGABRT)));
    }

    // [C10]
    #[test]
    fn other_languages() {
        let abort = Some(libc::SIGABRT);
        let cpp = "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n";
        assert!(detect_oom_message(cpp, None, abort));
        assert!(detect_oom_message("memory allocation of 8589934592 bytes failed\n", None, abort));
        assert!(detect_oom_message(
            "fatal error: runtime: out of memory\n\ngoroutine 1:\n",
            Some(2),
            None
        ));
        let python = "Traceback (most recent call last):\n  File \"w.py\", line 3\nMemoryError\n\n";
        assert!(detect_oom_message(python, Some(1), None));
        assert!(detect_oom_message("MemoryError: cannot allocate 4 GiB", Some(1), None));
    }

    #[test]
    fn node_cannot_begin() {
        let says = detect_node_start_failure;
        assert!(says("/usr/bin/node: bad option: --no-such-flag\n", Some(9), "/usr/bin/node"));
        assert!(says("node: --nope is not allowed in NODE_OPTIONS\n", Some(9), "/opt/run-node.sh"));
        assert!(says(
            "Try --help for options\nnodejs: missing.env: not found\n",
            Some(9),
            "/usr/bin/nodejs"
        ));
        let required = "node:internal/modules/cjs/loader:1210\n  throw err;\n  ^\n\n\
            Error: Cannot find module './a.js'\nRequire stack:\n- internal/preload\n    \
            at Module._load {\n  code: 'MODULE_NOT_FOUND',\n  \
            requireStack: [ 'internal/preload' ]\n}\n\nNode.js v20.20.2\n";
        assert!(says(required, Some(1), "node"));
        let imported = "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'a' imported from /b/\n    \
            at resolve {\n  code: 'ERR_MODULE_NOT_FOUND'\n}\n\nNode.js v26.12.1\n";
        assert!(says(imported, Some(1), "node"));

        assert!(!says("", Some(9), "node"));
        assert!(!says("no database\n", Some(9), "node"));
        assert!(!says("worker: no database: node: down\n", Some(9), "node"));
        assert!(!says(required, Some(9), "node"));
        assert!(!says(required, Some(2), "node"));
        assert!(!says(required, None, "node"));
        assert!(!says(
            "  code: 'MODULE_NOT_FOUND'\nCannot find module, going on\n",
            Some(1),
            "node"
        ));
        assert!(!says("TypeError: a is not a function\n\nNode.js v20.20.2\n", Some(1), "node"));
    }

    // [C10]
    #[test]
    fn words_alone_prove_nothing() {
        for (code, signal) in [
            (Some(0), None),
            (Some(1), None),
            (None, Some(libc::SIGKILL)),
            (None, Some(libc::SIGSEGV)),
        ] {
            assert!(!detect_oom_message(V8, code, signal), "{code:?} {signal:?}");
        }
        let abort = Some(libc::SIGABRT);
        assert!(!detect_oom_message(
            "out of memory\nheap out of memory\nMemoryError\n",
            None,
            abort
        ));
        assert!(!detect_oom_message(
            "FATAL ERROR: v8::ToLocalChecked Empty MaybeLocal\nout of memory\n",
            None,
            abort
        ));
        assert!(!detect_oom_message("MemoryError\nValueError: later\n", Some(1), None));
        assert!(!detect_oom_message("MemoryErrors: 3\n", Some(1), None));
        assert!(!detect_oom_message("", None, None));
    }
}
