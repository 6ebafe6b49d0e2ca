use crate::{Client, ClientError, http::Repeat};
use chat4all_model::api::{
    Bot, BotRequest, LoginRequest, LogoutRequest, Me, Page, PasswordRequest, ProfilePatch, RegisterRequest,
    Tokens, User, Validation,
};
use reqwest::Method;

/// Accounts and people (`/auth`, `/v1/users`, `/v1/bots`).
impl Client {
    /// Makes an account and signs in as it.
    ///
    /// # Errors
    /// The name is taken or the fields break the rules; see [`ClientError`].
    pub async fn register(&self, request: &RegisterRequest) -> Result<Me, ClientError> {
        let tokens: Tokens = self.post_open("auth/register", request).await?;
        let me = tokens.user.clone();
        self.adopt(tokens).await?;
        Ok(me)
    }

    /// Signs in by username.
    ///
    /// # Errors
    /// `invalid_credentials`; see [`ClientError`].
    pub async fn login(&self, username: &str, password: &str) -> Result<Me, ClientError> {
        let request =
            LoginRequest { username: Some(username.into()), password: password.into(), ..Default::default() };
        self.login_with(&request).await
    }

    /// Signs in by username or e-mail.
    ///
    /// # Errors
    /// `invalid_credentials`; see [`ClientError`].
    pub async fn login_with(&self, request: &LoginRequest) -> Result<Me, ClientError> {
        let tokens: Tokens = self.post_open("auth/token", request).await?;
        let me = tokens.user.clone();
        self.adopt(tokens).await?;
        Ok(me)
    }

    /// Renews the tokens now, whether or not the present ones have expired.
    ///
    /// # Errors
    /// `refresh_reused` if the session has ended; see [`ClientError`].
    pub async fn refresh(&self) -> Result<(), ClientError> {
        let session = self.session().ok_or(ClientError::NotSignedIn)?;
        self.renew(&session.access_token).await.map(drop)
    }

    /// Ends this session, or with `all` every session of the account.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn logout(&self, request: LogoutRequest) -> Result<(), ClientError> {
        self.run(self.call(Method::POST, &["auth", "logout"]).body(&request)?).await.map(drop)
    }

    /// Who the token says one is.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn validate(&self) -> Result<Validation, ClientError> {
        self.run(self.call(Method::POST, &["auth", "validate"])).await?.json()
    }

    /// One's own profile.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn me(&self) -> Result<Me, ClientError> {
        self.get(&["auth", "me"], &[]).await
    }

    /// Changes one's profile.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn update_me(&self, patch: &ProfilePatch) -> Result<Me, ClientError> {
        self.run(self.call(Method::PATCH, &["auth", "me"]).body(patch)?).await?.json()
    }

    /// Changes the password, which ends the other sessions.
    ///
    /// # Errors
    /// `invalid_credentials` if the current one is wrong; see [`ClientError`].
    pub async fn change_password(&self, request: &PasswordRequest) -> Result<(), ClientError> {
        let call = self.call(Method::POST, &["auth", "password"]).body(request)?.repeat(Repeat::Refused);
        self.run(call).await.map(drop)
    }

    /// People whose username or a word of whose name starts with `query` (2 characters or more).
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn find_users(&self, query: &str) -> Result<Page<User>, ClientError> {
        self.get(&["v1", "users"], &[("query", Some(query.into()))]).await
    }

    /// The person with exactly this username.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn user_named(&self, username: &str) -> Result<Option<User>, ClientError> {
        let mut cursor = None;
        loop {
            let query =
                [("query", Some(username.to_owned())), ("limit", Some("200".into())), ("cursor", cursor)];
            let page: Page<User> = self.get(&["v1", "users"], &query).await?;
            let found = page.items.into_iter().find(|user| user.username.eq_ignore_ascii_case(username));
            if found.is_some() || page.next.is_none() {
                return Ok(found);
            }
            cursor = page.next;
        }
    }

    /// A profile.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn user(&self, user_id: &str) -> Result<User, ClientError> {
        self.get(&["v1", "users", user_id], &[]).await
    }

    /// Makes a bot; the answer is the only one to hold its key.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_bot(&self, request: &BotRequest) -> Result<Bot, ClientError> {
        self.create(&["v1", "bots"], request).await
    }

    /// One's bots.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn bots(&self) -> Result<Page<Bot>, ClientError> {
        self.get(&["v1", "bots"], &[]).await
    }

    /// Revokes a bot's key.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete_bot(&self, bot_id: &str) -> Result<(), ClientError> {
        self.run(self.call(Method::DELETE, &["v1", "bots", bot_id])).await.map(drop)
    }
}
