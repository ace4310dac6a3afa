//! The images that an application's containers run.

use super::output;
use crate::snapshot::child::Withheld;
use crate::snapshot::manifest::application::Image;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The label that images carry their version in (OCI image specification, annotations).
const VERSION_LABEL: &str = "org.opencontainers.image.version";
/// The label by which containers name their service (Compose).
const SERVICE_LABEL: &str = "com.docker.compose.service";

/// Longest text that is kept of what an engine says, in characters: whoever makes an image labels it as they like.
const MAX_TEXT: usize = 1 << 10;

/// How the containers of an application are found.
#[derive(Debug, Clone)]
pub struct Containers {
    /// The program that inspects containers and images, such as `docker`.
    pub engine: String,
    /// The command that lists the ids of the application's containers, a line each, such as `docker compose -f FILE ps -q`.
    pub list: Vec<String>,
}

/// What an engine says of containers.
#[derive(Debug)]
pub struct Inspected(Vec<InspectedContainer>);

/// What an engine says of a container.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedContainer {
    name: String,
    /// The id of the image.
    image: String,
    config: ContainerConfig,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerConfig {
    /// The image as it was asked for.
    image: String,
    labels: Option<BTreeMap<String, String>>,
}

/// What an engine says of an image.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedImage {
    id: String,
    repo_digests: Option<Vec<String>>,
}

impl Containers {
    /// The images of the containers that run, sorted by service.
    pub(super) fn images(&self, withheld: &Withheld) -> Result<Vec<Image>, String> {
        let list: Vec<&str> = self.list.iter().map(String::as_str).collect();
        let listed = output(&list, withheld)?;
        let ids: Vec<&str> = listed.split_whitespace().collect();
        if ids.is_empty() {
            return Err("none of its containers runs".to_owned());
        }
        let inspect = |what: &str, ids: &[&str]| {
            let words = [&[self.engine.as_str(), what, "inspect"], ids].concat();
            output(&words, withheld)
        };
        let inspected = Inspected::parse(&inspect("container", &ids)?)?;
        inspected.images(&inspect("image", &inspected.image_ids())?)
    }
}

impl Inspected {
    /// From what `container inspect` prints.
    pub fn parse(containers: &str) -> Result<Self, String> {
        parse(containers).map(Self)
    }

    /// The ids of the images that they run, each once.
    pub fn image_ids(&self) -> Vec<&str> {
        let ids: BTreeSet<&str> = self.0.iter().map(|container| container.image.as_str()).collect();
        ids.into_iter().collect()
    }

    /// The images, sorted by service, with what `image inspect` prints of them.
    pub fn images(&self, images: &str) -> Result<Vec<Image>, String> {
        let known: Vec<InspectedImage> = parse(images)?;
        let mut images: Vec<Image> = self.0.iter().map(|container| image(container, &known)).collect();
        images.sort_by(|a, b| (&a.service, &a.image).cmp(&(&b.service, &b.image)));
        images.dedup();
        Ok(images)
    }
}

fn image(container: &InspectedContainer, known: &[InspectedImage]) -> Image {
    let labels = container.config.labels.as_ref();
    let label =
        |name: &str| labels.and_then(|labels| labels.get(name)).map(|text| fit(text)).filter(|text| !text.is_empty());
    let known = known.iter().find(|image| image.id == container.image);
    let digests = known.and_then(|image| image.repo_digests.as_deref()).unwrap_or_default();
    Image {
        service: label(SERVICE_LABEL).unwrap_or_else(|| fit(container.name.trim_start_matches('/'))),
        image: fit(&container.config.image),
        // `name@sha256:…`: the name is that of the image.
        digest: digests.first().map(|digest| fit(digest.rsplit('@').next().unwrap_or(digest))),
        version: label(VERSION_LABEL),
    }
}

/// A text as it's kept: without control characters, and no longer than a manifest has room for.
fn fit(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}

fn parse<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("what the engine says isn't understood: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An engine that answers as Docker does.
    const ENGINE: &str = r#"
        case "$1 $2" in
        "container inspect") echo '[{"Id":"c1","Name":"/wiki-db-1","Image":"sha256:aa","Config":{"Image":"postgres:16","Labels":{"com.docker.compose.service":"db"}}},
            {"Id":"c2","Name":"/wiki-app-1","Image":"sha256:bb","Config":{"Image":"ghcr.io/x/wiki:stable","Labels":{"com.docker.compose.service":"app","org.opencontainers.image.version":"2.4.1"}}}]' ;;
        "image inspect") echo '[{"Id":"sha256:aa","RepoDigests":["postgres@sha256:11"]},{"Id":"sha256:bb","RepoDigests":[]}]' ;;
        *) echo "c1 c2" ;;
        esac"#;

    #[test]
    fn images_have_their_digest_and_version() {
        let folder = tempfile::tempdir().unwrap();
        let engine = folder.path().join("engine");
        std::fs::write(&engine, format!("#!/bin/sh\n{ENGINE}\n")).unwrap();
        std::fs::set_permissions(&engine, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let engine = engine.to_str().unwrap().to_owned();
        let containers = Containers { list: vec![engine.clone(), "ps".into()], engine };
        let image = |service: &str, image: &str, digest: Option<&str>, version: Option<&str>| Image {
            service: service.into(),
            image: image.into(),
            digest: digest.map(String::from),
            version: version.map(String::from),
        };
        let expected = [
            image("app", "ghcr.io/x/wiki:stable", None, Some("2.4.1")),
            image("db", "postgres:16", Some("sha256:11"), None),
        ];
        assert_eq!(containers.images(&Withheld::default()).unwrap(), expected);
    }

    /// A label went into the manifest as it was, and from there the version of the application, however long and with whatever in it.
    #[test]
    fn what_images_are_labelled_with_is_cut_and_cleaned() {
        let label = format!("2\\u001b[31m{}", "x".repeat(2 * MAX_TEXT));
        let containers = format!(
            r#"[{{"Name":"/a\u0007","Image":"i","Config":{{"Image":"w","Labels":{{"{SERVICE_LABEL}":"\u0000","{VERSION_LABEL}":"{label}"}}}}}}]"#
        );
        let images = Inspected::parse(&containers).unwrap().images("[]").unwrap();
        assert_eq!(images[0].service, "a", "a label of which nothing is left is none");
        assert_eq!(images[0].version, Some(format!("2[31m{}", "x".repeat(MAX_TEXT - 5))));
    }

    #[test]
    fn an_engine_that_fails_says_why() {
        let list = vec!["sh".into(), "-c".into(), "echo no such file >&2; exit 3".into()];
        let why = Containers { engine: "docker".into(), list }.images(&Withheld::default()).unwrap_err();
        assert!(why.contains("no such file"), "{why}");
        let why =
            Containers { engine: "docker".into(), list: vec!["true".into()] }.images(&Withheld::default()).unwrap_err();
        assert_eq!(why, "none of its containers runs");
    }
}
