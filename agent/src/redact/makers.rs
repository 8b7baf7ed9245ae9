//! Tokens that are known by the prefix that their maker gives them, as the makers document them.

use super::tokens::Shape;

const fn shape(kind: &'static str, prefixes: &'static [&'static str], min: usize, also: &'static [u8]) -> Shape {
    Shape { kind, prefixes, min, also, dots_min: 0, hex: false }
}

/// The body is hexadecimal, and nothing else: a prefix of few letters would else be met in prose.
const fn hex(kind: &'static str, prefixes: &'static [&'static str], min: usize) -> Shape {
    Shape { kind, prefixes, min, also: b"", dots_min: 0, hex: true }
}

/// In no order that matters.
pub(super) static SHAPES: [Shape; 73] = [
    shape("AWS access key", &["AKIA", "ASIA", "ABIA", "ACCA"], 12, b""),
    shape("GitHub token", &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], 16, b""),
    shape("GitHub fine-grained token", &["github_pat_"], 16, b"_"),
    shape(
        "GitLab token",
        &[
            "glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glft-", "glsoat-", "glagent-", "glimt-", "glffct-",
            "gloas-",
        ],
        12,
        b"_-.",
    ),
    shape(
        "Slack token",
        &["xoxa-", "xoxb-", "xoxc-", "xoxd-", "xoxe-", "xoxe.", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xapp-"],
        8,
        b"-._%",
    ),
    shape("Slack webhook", &["hooks.slack.com/services/", "hooks.slack.com/workflows/"], 8, b"/"),
    shape("Discord webhook", &["discord.com/api/webhooks/", "discordapp.com/api/webhooks/"], 16, b"/_-"),
    shape("Teams webhook", &[".webhook.office.com/webhookb2/"], 16, b"/@-"),
    shape("Google API key", &["AIza"], 30, b"_-"),
    shape("Google OAuth token", &["ya29.", "1//0"], 16, b"_-"),
    shape("Google client secret", &["GOCSPX-"], 16, b"_-"),
    shape("Stripe key", &["sk_live_", "sk_test_", "rk_live_", "rk_test_", "pk_live_", "whsec_"], 12, b"_"),
    shape("OpenAI key", &["sk-proj-", "sk-svcacct-", "sk-admin-"], 16, b"_-"),
    shape("Anthropic key", &["sk-ant-"], 16, b"_-"),
    shape("Hugging Face token", &["hf_"], 30, b""),
    shape("Groq key", &["gsk_"], 30, b""),
    shape("xAI key", &["xai-"], 40, b""),
    shape("Perplexity key", &["pplx-"], 32, b""),
    shape("Replicate token", &["r8_"], 32, b""),
    shape("npm token", &["npm_"], 30, b""),
    shape("PyPI token", &["pypi-AgE"], 18, b"_-"),
    shape("RubyGems key", &["rubygems_"], 32, b""),
    shape("Cargo registry token", &["cio"], 32, b""),
    shape("NuGet key", &["oy2"], 43, b""),
    shape("DigitalOcean token", &["dop_v1_", "doo_v1_", "dor_v1_"], 18, b""),
    shape("HashiCorp Vault token", &["hvs.", "hvb.", "hvr."], 18, b"_-"),
    shape("Shopify token", &["shpat_", "shpca_", "shppa_", "shpss_"], 18, b""),
    shape("Docker token", &["dckr_pat_", "dckr_oat_"], 18, b"_-"),
    shape("Linear key", &["lin_api_", "lin_oauth_"], 18, b""),
    shape("SendGrid key", &["SG."], 18, b"_-."),
    hex("Mailgun key", &["key-"], 32),
    hex("Twilio key", &["SK"], 32),
    shape("Brevo key", &["xkeysib-", "xsmtpsib-"], 32, b"-"),
    shape("Square token", &["sq0atp-", "sq0csp-", "sq0idp-"], 20, b"_-"),
    shape("PayPal token", &["access_token$production$", "access_token$sandbox$"], 16, b"$"),
    shape("Flutterwave key", &["FLWSECK-", "FLWSECK_"], 20, b"_-"),
    hex("Databricks token", &["dapi"], 32),
    shape("Doppler token", &["dp.pt.", "dp.st.", "dp.ct.", "dp.sa.", "dp.scim.", "dp.audit."], 20, b".-_"),
    shape("Dynatrace token", &["dt0c01.", "dt0s01."], 24, b"."),
    shape("Grafana token", &["glsa_", "glc_"], 30, b"_+/="),
    shape("New Relic key", &["NRAK-", "NRII-", "NRJS-", "NRRA-", "NRIQ-", "NRAL-"], 16, b"-_"),
    shape("Sentry token", &["sntrys_", "sntryu_"], 32, b"_-+/="),
    shape("Notion token", &["ntn_", "secret_"], 40, b""),
    shape("Airtable token", &["pat"], 60, b"."),
    shape("Atlassian token", &["ATATT3", "ATCTT3", "ATBB"], 24, b"_-="),
    shape("Figma token", &["figd_", "figdr_"], 30, b"_-"),
    shape("Fly.io token", &["fo1_", "fm1_", "fm2_", "fm1r_", "fm2_lJ"], 36, b"_-+/="),
    shape("Heroku key", &["HRKU-"], 30, b"_-"),
    shape("Postman key", &["PMAK-"], 40, b"-"),
    shape("PlanetScale token", &["pscale_tkn_", "pscale_pw_", "pscale_oauth_"], 30, b"_-.="),
    shape("Pulumi token", &["pul-"], 38, b""),
    shape("Prefect token", &["pnu_", "pnb_"], 34, b""),
    shape("Supabase token", &["sbp_"], 38, b"_"),
    shape("Tailscale key", &["tskey-api-", "tskey-auth-", "tskey-client-", "tskey-scim-", "tskey-webhook-"], 12, b"-"),
    shape("Typeform token", &["tfp_"], 40, b"_-.="),
    shape("Terraform token", &[".atlasv1."], 50, b"_-="),
    shape("Yandex token", &["AQVN"], 34, b"_-"),
    shape("EasyPost key", &["EZAK", "EZTK"], 50, b""),
    shape("Shippo token", &["shippo_live_", "shippo_test_"], 36, b""),
    shape("Duffel token", &["duffel_live_", "duffel_test_"], 30, b"_-="),
    shape("Frame.io token", &["fio-u-"], 50, b"_-="),
    shape("Scaleway key", &["SCW"], 17, b""),
    shape("Contentful token", &["CFPAT-"], 40, b"_-"),
    shape("ReadMe key", &["rdme_"], 60, b""),
    shape("1Password service account", &["ops_eyJ"], 100, b"_-="),
    shape("age secret key", &["AGE-SECRET-KEY-1"], 50, b""),
    shape("Deskside invite", &["dsk1"], 40, b"_-"),
    shape(
        "LDAP password hash",
        &["{SSHA}", "{SHA}", "{SMD5}", "{SSHA256}", "{SSHA512}", "{CRYPT}", "{PBKDF2}"],
        16,
        b"-_+/=$.",
    ),
    hex("NTLM hash", &["aad3b435b51404eeaad3b435b51404ee:"], 32),
    shape(
        "PASETO",
        &["v1.local.", "v2.local.", "v3.local.", "v4.local.", "v2.public.", "v3.public.", "v4.public."],
        24,
        b"_-.",
    ),
    shape("Telegram bot token", &[":AAE", ":AAF", ":AAG", ":AAH"], 30, b"_-"),
    // The first part begins with `{"`.
    Shape { kind: "JSON Web Token", prefixes: &["eyJ"], min: 16, also: b"_-.", dots_min: 1, hex: false },
    shape("Bitwarden access token", &["0.ey"], 60, b"-_=:."),
];
