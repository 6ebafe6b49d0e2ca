//! `chat4all config`: the settings in force, and the reference of all of them.

use super::operator_link::{Stopped, run as run_to_end, say};
use super::settings::{Settings, reference};
use clap::Args;
use std::process::ExitCode;

/// What is to be printed.
#[derive(Debug, Args)]
pub struct Options {
    /// Print the reference of all settings instead
    #[arg(long)]
    reference: bool,
    #[command(flatten)]
    settings: Settings,
}

/// Prints the settings as a settings file, the secret masked.
pub fn run(options: Options) -> ExitCode {
    run_to_end(async {
        let text = if options.reference { reference() } else { in_force(options.settings)? };
        say(text.trim_end())?;
        Ok(ExitCode::SUCCESS)
    })
}

fn in_force(settings: Settings) -> Result<String, Stopped> {
    let settings = settings.with_file().map_err(Stopped)?;
    toml::to_string(&settings).map_err(|error| Stopped(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn the_settings_in_force_are_a_settings_file_without_the_secret() {
        let secret = "s3cr3t-".repeat(6);
        let program = Program::parse_from(["config", "--secret", &secret, "--log-retention", "90m"]);
        let text = in_force(program.options.settings).unwrap();
        assert!(!text.contains("s3cr3t"), "{text}");
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["secret"].as_str(), Some("********"));
        assert_eq!(table["log-retention"].as_str(), Some("90m"));
        assert_eq!(table["listen"].as_str(), Some("127.0.0.1:8080"));
        assert!(!table.contains_key("public-url"), "{text}");
    }

    #[test]
    fn the_reference_in_docs_is_not_stale() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == reference(),
            "docs/settings.md is stale: UPDATE_DOCS=1 cargo test -p chat4all rewrites it"
        );
    }
}
