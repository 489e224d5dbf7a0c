import { supportedMimeTypes } from 'file-type';

/** Other names of media types, by the name that `file-type` uses. */
const OTHER_NAMES: Readonly<Record<string, readonly string[]>> = {
  'image/jpeg': ['image/jpg', 'image/pjpeg', 'image/jfif'],
  'image/png': ['image/x-png'],
  'image/bmp': ['image/x-bmp', 'image/x-ms-bmp', 'image/x-windows-bmp'],
  'image/tiff': ['image/tif', 'image/x-tiff'],
  'image/x-icon': ['image/vnd.microsoft.icon', 'image/ico'],
  'image/vnd.adobe.photoshop': ['image/x-photoshop', 'image/psd', 'application/x-photoshop', 'application/photoshop'],
  'audio/mpeg': ['audio/mp3', 'audio/x-mp3', 'audio/x-mpeg', 'audio/mpeg3'],
  'audio/wav': ['audio/x-wav', 'audio/wave', 'audio/vnd.wave', 'audio/x-pn-wav'],
  'audio/flac': ['audio/x-flac'],
  'audio/aac': ['audio/x-aac', 'audio/aacp', 'audio/vnd.dlna.adts', 'audio/x-hx-aac-adts'],
  'audio/aiff': ['audio/x-aiff'],
  'audio/midi': ['audio/mid', 'audio/x-midi'],
  'video/vnd.avi': ['video/x-msvideo', 'video/avi', 'video/msvideo'],
  'video/mp2t': ['video/vnd.dlna.mpeg-tts'],
  'application/pdf': ['application/x-pdf'],
  'application/rtf': ['text/rtf', 'text/richtext', 'application/x-rtf'],
  'application/postscript': ['application/ps', 'application/eps', 'image/x-eps', 'image/eps', 'application/x-eps'],
  'application/zip': ['application/x-zip-compressed', 'application/x-zip'],
  'application/gzip': ['application/x-gzip', 'application/x-compressed-tar', 'application/x-tgz'],
  'application/x-bzip2': ['application/x-bzip', 'application/x-bzip-compressed-tar'],
  'application/x-rar-compressed': ['application/vnd.rar', 'application/x-rar'],
  'application/x-msdownload': [
    ...['application/x-msdos-program', 'application/x-dosexec', 'application/x-ms-dos-executable'],
    ...['application/vnd.microsoft.portable-executable', 'application/x-exe'],
  ],
  'application/x-elf': ['application/x-executable', 'application/x-sharedlib', 'application/x-pie-executable'],
  'application/x-sqlite3': ['application/vnd.sqlite3', 'application/x-sqlite'],
  'application/x-deb': ['application/vnd.debian.binary-package', 'application/x-debian-package'],
  'application/java-archive': ['application/x-java-archive', 'application/jar'],
  'font/ttf': ['application/x-font-ttf', 'application/font-sfnt', 'font/sfnt'],
  'font/otf': ['application/x-font-otf', 'application/vnd.ms-opentype'],
  'font/woff': ['application/font-woff', 'application/x-font-woff'],
};

const CANONICAL = new Map(
  Object.entries(OTHER_NAMES).flatMap(([name, others]) => others.map((other) => [other, name] as const)),
);

/** Returns a media type in lower case, without parameters, and by the name that `file-type` uses. */
export function canonical(mediaType: string): string {
  const [name = ''] = mediaType.toLowerCase().split(';');
  return CANONICAL.get(name.trim()) ?? name.trim();
}

/**
 * Types with a signature that also exist as a text without it. Browsers name TypeScript files `video/mp2t`, because both
 * end in `.ts`.
 */
export const MAYBE_TEXT: ReadonlySet<string> = new Set([
  ...['application/rtf', 'application/postscript', 'application/pgp-encrypted', 'application/x-ms-regedit'],
  ...['model/stl', 'application/x.autodesk.fbx', 'video/mp2t'],
]);

/** Returns true for types whose files are texts, such as CSV, JSON, SVG, HTML and source code. */
export function isTextual(mediaType: string): boolean {
  return (
    mediaType.startsWith('text/') ||
    /\+(json|xml|yaml)$/.test(mediaType) ||
    /^application\/(x-)?(json|jsonl|ndjson|xml|javascript|ecmascript|typescript|yaml|toml|sql|sh|shellscript|perl|php|httpd-php|python|ruby|tex|latex|graphql|csv|csh|subrip)$/.test(
      mediaType,
    )
  );
}

/**
 * Groups of types that share a format. Only a demuxer could say whether a film of the format has a picture. A voice
 * message is claimed as `audio/webm` and detected as `video/webm`.
 */
const FILMS = [
  ['video/mp4', 'audio/mp4', 'audio/x-m4a', 'audio/m4a', 'video/x-m4v', 'video/quicktime', 'audio/mp4a-latm'],
  ['video/3gpp', 'video/3gpp2', 'audio/3gpp', 'audio/3gpp2', 'video/mp4', 'audio/mp4'],
  ['video/webm', 'audio/webm', 'video/matroska', 'video/x-matroska', 'audio/matroska', 'audio/x-matroska'],
  ['audio/ogg', 'video/ogg', 'application/ogg', 'audio/opus', 'audio/vorbis', 'audio/x-vorbis+ogg', 'audio/x-speex'],
  ['video/mpeg', 'audio/mpeg', 'video/mp1s', 'video/mp2p'],
  ['video/x-ms-asf', 'audio/x-ms-asf', 'application/vnd.ms-asf', 'video/x-ms-wmv', 'audio/x-ms-wma'],
];

/** Types that `file-type` recognises by a signature, some of them by the signature of their format. */
const WITH_SIGNATURE = new Set([...[...supportedMimeTypes].map(canonical), ...FILMS.flat()]);

/** Returns true if files of this type always begin with a signature that `file-type` knows. */
export function hasSignature(mediaType: string): boolean {
  return WITH_SIGNATURE.has(mediaType);
}

/** Groups of image types that share a format. */
const IMAGES = [
  ['image/png', 'image/apng', 'image/vnd.mozilla.apng'],
  ['image/heic', 'image/heif', 'image/heic-sequence', 'image/heif-sequence', 'image/avif'],
  ['image/tiff', 'image/x-adobe-dng', 'image/x-canon-cr2', 'image/x-nikon-nef', 'image/x-sony-arw'],
];

function shareGroup(groups: readonly (readonly string[])[], one: string, other: string): boolean {
  return groups.some((group) => group.includes(one) && group.includes(other));
}

/** Returns true if both types are sound or film in the same format. */
export function areFilmsAlike(one: string, other: string): boolean {
  return shareGroup(FILMS, one, other);
}

/** Returns true if both types are images in the same format. */
export function areImagesAlike(one: string, other: string): boolean {
  return shareGroup(IMAGES, one, other);
}

/** Types that are ZIP archives. `file-type` does not recognise all files of these types. */
const ZIP_BASED =
  /^(application\/(epub\+zip|x-xpinstall|java-archive|vnd\.(oasis\.opendocument|openxmlformats-officedocument|ms-\w+\..*macroenabled|android\.package-archive|visio).*)|model\/3mf)$/;
/** Types of older Office programs. Such files are also RTF, XML, a text, or a newer format under the older name. */
const OLD_OFFICE =
  /^application\/(msword|vnd\.ms-(excel|powerpoint|project|works|publisher|outlook)|vnd\.visio|x-msi)$/;

/** Containers of other formats, with the types that have a signature of their own and may be stored in them. */
const CONTAINERS: ReadonlyMap<string, RegExp> = new Map([
  ['application/zip', ZIP_BASED],
  ['application/x-cfb', OLD_OFFICE],
  ['application/gzip', /^application\/x-tar$/],
  ['application/xml', OLD_OFFICE],
  ['application/x-sqlite3', /^$/],
]);

/** Returns true if the type says nothing about the format inside. */
export function isContainer(mediaType: string): boolean {
  return CONTAINERS.has(mediaType);
}

/** Returns true if a file that was detected as `container` can be a file of the claimed type. */
export function mayContain(container: string, claimed: string): boolean {
  const contained = CONTAINERS.get(container);
  if (contained === undefined) return claimed === 'application/zip' && ZIP_BASED.test(container);
  return contained.test(claimed) || !hasSignature(claimed);
}

/** Returns true if a file that was detected as this type opens under a type of older Office programs. */
export function opensInOldOffice(claimed: string, detected: string): boolean {
  return OLD_OFFICE.test(claimed) && (detected === 'application/rtf' || ZIP_BASED.test(detected));
}

/** Returns true if a claim of an unknown type cannot be true for the detected type, such as a film for an image. */
export function areOfOtherKinds(claimed: string, detected: string): boolean {
  if (OLD_OFFICE.test(claimed)) return true;
  const kindOf = (mediaType: string) => /^(image|audio|video|font)\//.exec(mediaType)?.[1]?.replace('audio', 'video');
  const claimedKind = kindOf(claimed);
  return claimedKind !== undefined && claimedKind !== kindOf(detected);
}
