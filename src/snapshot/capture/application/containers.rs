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

/// How the containers of an application are found.
#[derive(Debug, Clone)]
pub struct Containers {
    /// The program that inspects containers and images, such as `docker`.
    pub engine: String,
    /// The command that lists the ids of the application's containers, a line each, such as `docker compose -f FILE ps -q`.
    pub list: Vec<String>,
}

/// What an engine says of a container.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedContainer {
    name: String,
    /// The id of the image.
    image: String,
    config: ContainerConfig,
}

#[derive(Deserialize)]
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
        let found: Vec<InspectedContainer> = parse(&inspect("container", &ids)?)?;
        let image_ids: BTreeSet<&str> = found.iter().map(|container| container.image.as_str()).collect();
        let known: Vec<InspectedImage> = parse(&inspect("image", &image_ids.into_iter().collect::<Vec<_>>())?)?;
        let mut images: Vec<Image> = found.iter().map(|container| image(container, &known)).collect();
        images.sort_by(|a, b| (&a.service, &a.image).cmp(&(&b.service, &b.image)));
        images.dedup();
        Ok(images)
    }
}

fn image(container: &InspectedContainer, known: &[InspectedImage]) -> Image {
    let labels = container.config.labels.as_ref();
    let label = |name: &str| labels.and_then(|labels| labels.get(name)).filter(|text| !text.is_empty()).cloned();
    let known = known.iter().find(|image| image.id == container.image);
    let digests = known.and_then(|image| image.repo_digests.as_deref()).unwrap_or_default();
    Image {
        service: label(SERVICE_LABEL).unwrap_or_else(|| container.name.trim_start_matches('/').to_owned()),
        image: container.config.image.clone(),
        // `name@sha256:…`: the name is that of the image.
        digest: digests.first().map(|digest| digest.rsplit('@').next().unwrap_or(digest).to_owned()),
        version: label(VERSION_LABEL),
    }
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
