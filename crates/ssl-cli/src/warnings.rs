//! Warnings of the library crates, which never print themselves: said on stderr in the program's own voice.

use std::fmt::{Debug, Write};
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::progress::Progress;

/// Passes on what the library crates warn of, from here to the end of the program.
pub(crate) fn listen(progress: Arc<Progress>) {
    // Only a second call fails, and then the first still listens.
    let _ = tracing_subscriber::registry().with(Voice(progress)).try_init();
}

struct Voice(Arc<Progress>);

impl<S: Subscriber> Layer<S> for Voice {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() <= Level::WARN && metadata.target().starts_with("ssl_") {
            let mut words = Words::default();
            event.record(&mut words);
            self.0.say(&format!("warning: {}{}", words.message, words.fields));
        }
    }
}

/// An event as one line: its message, then its fields.
#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " ({name} {value:?})"),
        };
    }
}
