//! Enrolment tokens in SQLite.

use anyhow::Result;
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::Db;
use crate::store::{NewToken, Token, TokenRefusal, Tokens};

#[async_trait]
impl Tokens for Db {
    async fn add_token(&self, token: NewToken, now_ms: i64) -> Result<()> {
        self.write(move |tx| {
            tx.execute(
                "INSERT INTO token (id, secret_sha256, uses, created_ms, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![token.id, token.secret_sha256, token.uses, now_ms, token.expires_ms],
            )?;
            Ok(())
        })
        .await
    }

    async fn tokens(&self) -> Result<Vec<Token>> {
        self.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT id, uses, used, created_ms, expires_ms, revoked FROM token ORDER BY created_ms DESC, id",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(Token {
                    id: row.get(0)?,
                    uses: row.get(1)?,
                    used: row.get(2)?,
                    created_ms: row.get(3)?,
                    expires_ms: row.get(4)?,
                    revoked: row.get(5)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn revoke_token(&self, id: &str) -> Result<bool> {
        let id = id.to_owned();
        self.write(move |tx| Ok(tx.execute("UPDATE token SET revoked = 1 WHERE id = ?1", [id])? > 0)).await
    }

    async fn token_refusal(&self, secret_sha256: [u8; 32], now_ms: i64) -> Result<Option<TokenRefusal>> {
        self.read(move |connection| refusal(connection, secret_sha256, now_ms)).await
    }
}

/// What stands against a secret.
pub(super) fn refusal(connection: &Connection, secret_sha256: [u8; 32], now_ms: i64) -> Result<Option<TokenRefusal>> {
    let mut statement =
        connection.prepare_cached("SELECT revoked, expires_ms, uses - used FROM token WHERE secret_sha256 = ?1")?;
    let token: Option<(bool, i64, i64)> =
        statement.query_row([secret_sha256], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    Ok(match token {
        None => Some(TokenRefusal::Unknown),
        Some((true, _, _)) => Some(TokenRefusal::Revoked),
        Some((_, expires_ms, _)) if expires_ms <= now_ms => Some(TokenRefusal::Expired),
        Some((_, _, left)) if left <= 0 => Some(TokenRefusal::UsedUp),
        Some(_) => None,
    })
}
