//! Images of ostree commits by ostree-ext, the library that rpm-ostree and bootc are made of, which comes without a program.
//!
//!     strata-ostree-ext encapsulate REPOSITORY REF LAYOUT:TAG [LAYERS]
//!     strata-ostree-ext import REPOSITORY LAYOUT:TAG
//!
//! encapsulate writes a commit as an image into an OCI layout, in one layer, or in as many as are said and one of metadata.
//! import takes an image of a layout into a repository, and prints the commit that it was made of and the one that a host
//! would boot.

use anyhow::{bail, Context, Result};
use ostree_ext::chunking::ObjectMetaSized;
use ostree_ext::container::store::{ImageImporter, PrepareResult};
use ostree_ext::container::{
    encapsulate, Config, ExportOpts, ImageReference, OstreeImageReference, SignatureSource,
    Transport,
};
use ostree_ext::containers_image_proxy::ImageProxyConfig;
use ostree_ext::gio;
use ostree_ext::objectsource::{ObjectMeta, ObjectSourceMeta};
use ostree_ext::ostree::{Repo, RepoFile};
use ostree_ext::prelude::*;
use std::rc::Rc;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match args[..] {
        ["encapsulate", repo, reference, layout] => {
            runtime.block_on(write(&open(repo)?, reference, layout, None))
        }
        ["encapsulate", repo, reference, layout, layers] => {
            let layers = layers.parse().context("number of layers")?;
            runtime.block_on(write(&open(repo)?, reference, layout, Some(layers)))
        }
        ["import", repo, layout] => runtime.block_on(import(&open(repo)?, layout)),
        _ => bail!("usage: encapsulate REPOSITORY REF LAYOUT:TAG [LAYERS], or import REPOSITORY LAYOUT:TAG"),
    }
}

fn open(path: &str) -> Result<Repo> {
    let repo = Repo::new_for_path(path);
    repo.open(gio::Cancellable::NONE)?;
    Ok(repo)
}

fn image(layout: &str) -> ImageReference {
    ImageReference {
        transport: Transport::OciDir,
        name: layout.to_string(),
    }
}

/// Writes a commit as an image. It is not asked for its digest, which ostree-ext finds by skopeo and a policy.
async fn write(
    repo: &Repo,
    reference: &str,
    layout: &str,
    layers: Option<std::num::NonZeroU32>,
) -> Result<()> {
    let contents = match layers {
        Some(_) => Some(components(repo, reference)?),
        None => None,
    };
    let mut opts = ExportOpts::default();
    opts.max_layers = layers;
    opts.contentmeta = contents.as_ref();
    encapsulate(repo, reference, &Config::default(), Some(opts), &image(layout)).await?;
    Ok(())
}

/// Says which files belong together, as rpm-ostree does by packages: here, those below the same two directories.
fn components(repo: &Repo, reference: &str) -> Result<ObjectMetaSized> {
    let (root, _) = repo.read_commit(reference, gio::Cancellable::NONE)?;
    let mut meta = ObjectMeta::default();
    walk(&root, &[], &mut meta)?;
    ObjectMetaSized::compute_sizes(repo, meta)
}

fn walk(dir: &gio::File, path: &[String], meta: &mut ObjectMeta) -> Result<()> {
    let children = dir.enumerate_children(
        "standard::name,standard::type",
        gio::FileQueryInfoFlags::NOFOLLOW_SYMLINKS,
        gio::Cancellable::NONE,
    )?;
    for child in children {
        let child = child?;
        let file = dir.child(child.name());
        if child.file_type() == gio::FileType::Directory {
            let mut below = path.to_vec();
            below.push(child.name().to_string_lossy().into_owned());
            walk(&file, &below, meta)?;
            continue;
        }
        let component: Rc<str> = path[..path.len().min(2)].join("/").into();
        let object = file.downcast_ref::<RepoFile>().context("not of a repository")?;
        let object = object.checksum().to_string();
        if meta.map.contains_key(&object) {
            continue; // a file with several names is its first one's
        }
        meta.map.insert(object, component.clone());
        meta.set.insert(ObjectSourceMeta {
            identifier: component.clone(),
            name: component.clone(),
            srcid: component,
            change_time_offset: 0,
            change_frequency: 0,
        });
    }
    Ok(())
}

/// Imports an image and prints the commit that it was made of and the merged one.
async fn import(repo: &Repo, layout: &str) -> Result<()> {
    let reference = OstreeImageReference {
        sigverify: SignatureSource::ContainerPolicyAllowInsecure,
        imgref: image(layout),
    };
    let mut importer = ImageImporter::new(repo, &reference, ImageProxyConfig::default()).await?;
    let state = match importer.prepare().await? {
        PrepareResult::AlreadyPresent(state) => state,
        PrepareResult::Ready(prepared) => importer.import(prepared).await?,
    };
    println!("{} {}", state.base_commit, state.merge_commit);
    Ok(())
}
