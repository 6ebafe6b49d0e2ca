use super::{
    args::{Register, Who},
    credentials::CredentialsFile,
    failure::Failure,
    note, people, say,
};
use chat4all_client::{
    Client, ClientError,
    model::{Me, RegisterRequest},
};
use std::io::{BufRead, IsTerminal};

/// Registers; an account that is there already is signed in to. Running it again changes nothing.
pub(super) async fn run(options: Register) -> Result<(), Failure> {
    let (file, name) = CredentialsFile::find(&options.who.server, options.who.name.as_deref())?;
    let client = people::kept(&options.who)?;
    let given = match options.password {
        Some(password) => Some(password),
        None if options.password_stdin => Some(line_of_input()?),
        None => file.password(),
    };
    let password = match given {
        Some(password) => password,
        // Already signed in, and no password to sign in anew with: that will do.
        None if client.session().is_some() => return print(&client.me().await?, options.json),
        None => {
            let made = made_password();
            file.keep_password(&made)?;
            note(&format!("made a password and kept it in {}", file.path().display()));
            made
        }
    };
    let me = register_or_login(&client, &name, &password, options.display_name).await?;
    print(&me, options.json)
}

fn print(me: &Me, json: bool) -> Result<(), Failure> {
    Ok(say(&if json { serde_json::to_string(me)? } else { me.user_id.clone() })?)
}

/// Prints an access token that is good for a minute at least.
pub(super) async fn token(who: &Who) -> Result<(), Failure> {
    Ok(say(&people::signed_in(who).await?.access_token().await?)?)
}

async fn register_or_login(
    client: &Client,
    name: &str,
    password: &str,
    display_name: Option<String>,
) -> Result<Me, Failure> {
    let request = RegisterRequest {
        username: name.into(),
        password: password.into(),
        email: None,
        display_name,
        invite: None,
    };
    match client.register(&request).await {
        Err(error) if error.code() == Some("username_taken") => match client.login(name, password).await {
            Err(error) if error.code() == Some("invalid_credentials") => {
                Err(Failure::NotSignedIn(format!("{name} exists already, with another password")))
            }
            other => Ok(other?),
        },
        other => Ok(other?),
    }
}

/// Signs a person in who sits at a terminal: with what is kept, else by password, making the account if it is new.
pub(super) async fn sign_in_by_hand(who: &Who) -> Result<Client, Failure> {
    match people::signed_in(who).await {
        Err(Failure::NotSignedIn(reason)) if who.name.is_none() => return Err(Failure::NotSignedIn(reason)),
        Err(Failure::NotSignedIn(_)) => {}
        other => return other,
    }
    let (_, name) = CredentialsFile::find(&who.server, who.name.as_deref())?;
    let client = people::kept(who)?;
    let password =
        secret(format!("Password of {name} (new here? choose one, 8 characters or more): ")).await?;
    match client.login(&name, &password).await {
        Ok(_) => return Ok(client),
        // An unknown name and a wrong password are answered alike.
        Err(error) if matches!(error.code(), Some("invalid_credentials" | "invalid_request")) => {}
        Err(error) => return Err(error.into()),
    }
    let again = secret(format!("Again, to register {name}: ")).await?;
    if again != password {
        return Err(Failure::NotSignedIn("the two are not the same, or the password is wrong".into()));
    }
    register_or_login(&client, &name, &password, None).await?;
    Ok(client)
}

async fn secret(prompt: String) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::NotSignedIn(
            "no terminal to ask for a password on: use chat4all register".into(),
        ));
    }
    let read = tokio::task::spawn_blocking(move || super::chat::prompt::hidden_line(&prompt)).await;
    Ok(read.map_err(|_| Failure::Client(ClientError::Ended))??)
}

fn line_of_input() -> std::io::Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// 122 random bits.
fn made_password() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
