//! From a place and options to a store.

use super::super::{StoreError, StoreErrorKind};
use super::failure::Secrets;
use super::{OpenDalStore, PATIENCE, Service};
use ::opendal::Operator;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use zeroize::Zeroizing;

/// Where a repository is in a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::repo::store) struct Place {
    /// Options of the service that the URL gives.
    pub(in crate::repo::store) options: BTreeMap<&'static str, String>,
    /// The folder or prefix: empty, or ending in `/`, and not beginning with it.
    pub(in crate::repo::store) prefix: String,
}

impl OpenDalStore {
    /// Prepares a store; nothing is connected yet.
    ///
    /// `options` are the service's own, by OpenDAL's names; of those that `secrets` holds too, the latter count. OpenDAL's copies of them aren't zeroized.
    pub(in crate::repo::store) fn open(
        service: &Service,
        place: &Place,
        url: String,
        options: &BTreeMap<String, String>,
        secrets: &BTreeMap<String, Zeroizing<String>>,
        connections: Option<usize>,
    ) -> Result<Self, StoreError> {
        ::opendal::install_default();
        let hidden = Secrets::new(secrets.values().cloned());
        let mut all = options.clone();
        all.extend(secrets.iter().map(|(option, value)| (option.clone(), value.to_string())));
        all.extend(place.options.iter().map(|(option, value)| ((*option).to_owned(), value.clone())));
        let operator = build(service.scheme, all)
            .map_err(|error| StoreError::new(StoreErrorKind::Other, "", &url).because(hidden.hide(&error)))?;
        Ok(Self {
            conditional: AtomicBool::new(operator.info().capability().write_with_if_not_exists && !service.moves),
            operator,
            prefix: place.prefix.clone(),
            url,
            root: service.root,
            moves: service.moves,
            connections: connections.unwrap_or(service.connections),
            patience: PATIENCE,
            secrets: hidden,
            root_seen: AtomicBool::new(false),
        })
    }
}

/// Makes the operator. Without a region, which only Amazon needs, S3 gets the one that all other servers take.
fn build(scheme: &str, options: BTreeMap<String, String>) -> ::opendal::Result<Operator> {
    match Operator::via_iter(scheme, options.clone()) {
        Err(error)
            if scheme == "s3"
                && options.contains_key("endpoint")
                && error.to_string().contains("region is missing") =>
        {
            let region = ("region".to_owned(), "us-east-1".to_owned());
            Operator::via_iter(scheme, options.into_iter().chain([region]))
        }
        outcome => outcome,
    }
}
