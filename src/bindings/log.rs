//! The variable `BULKHEAD_LOG`, which has the supervisor log to standard error.

use std::sync::Once;

use tracing::level_filters::LevelFilter;

/// Starts the log if the variable names a level (`error`, `warn`, `info`, `debug`: workers;
/// `trace`: every event).
pub fn start() {
    static START: Once = Once::new();
    START.call_once(|| {
        let Ok(level) = std::env::var("BULKHEAD_LOG") else { return };
        match level.parse::<LevelFilter>() {
            Ok(level) => {
                // Standard error may be closed, and a complaint about that there would be fatal.
                let subscriber = tracing_subscriber::fmt()
                    .with_max_level(level)
                    .with_writer(std::io::stderr)
                    .with_ansi(false)
                    .log_internal_errors(false);
                // This fails only if another part of the addon has set a subscriber, which none
                // does.
                let _ = subscriber.try_init();
            }
            Err(_) => eprintln!(
                "bulkhead: BULKHEAD_LOG=\"{level}\" is not one of error, warn, info, debug, trace"
            ),
        }
    });
}
