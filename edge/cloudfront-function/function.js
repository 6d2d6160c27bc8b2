// Answers 403 for each URL that edgeban has banned, and lets every other request through.
//
// A viewer-request function of CloudFront (runtime cloudfront-js-2.0), associated with the KeyValueStore into which
// edgeban writes one key a banned URL. README.md says how to install it.

import cf from 'cloudfront';
import crypto from 'crypto';

const LONGEST_KEY = 512; // bytes that a key of a KeyValueStore may have

const PATH = /["<>^`{}\s\u007f-\uffff]|[\ud800-\udbff][\udc00-\udfff]/g;
const QUERY = /["'<>\s\u007f-\uffff]|[\ud800-\udbff][\udc00-\udfff]/g;

function escaped(text, signs) {
  const pairs = /[\ud800-\udbff][\udc00-\udfff]/g;
  return text
    .replace(pairs, (sign) => encodeURIComponent(sign))
    .replace(signs, (sign) => (sign === "'" ? '%27' : encodeURIComponent(sign)));
}

// Resolves the dot segments of a path, as the URL standard does.
function resolved(path) {
  const segments = path.replace(/\\/g, '/').split('/').slice(1);
  const kept = [];
  segments.forEach((segment, index) => {
    const dots = segment.replace(/%2e/gi, '.');
    const last = index === segments.length - 1;
    if (dots === '..') {
      kept.pop();
    }
    if (dots !== '..' && dots !== '.') {
      kept.push(segment);
    } else if (last) {
      kept.push('');
    }
  });
  return '/' + kept.join('/');
}

// Returns the key of a request: its URL as the URL standard writes it, or the SHA-256 of that where it is longer than a
// key may be. key_of in chalicelib/vendors/cloudfrontkvs/client.py makes the same key.
//
// A viewer request does not say its scheme. Where a policy of the distribution adds CloudFront-Forwarded-Proto, the
// header does; elsewhere a request counts as https, which distributions redirect to.
function keyOf(request) {
  const headers = request.headers;
  const proto = headers['cloudfront-forwarded-proto'];
  const scheme = proto && proto.value === 'http' ? 'http' : 'https';
  const host = headers.host.value.toLowerCase().replace(scheme === 'http' ? /:80$/ : /:443$/, '');
  const query = request.rawQueryString(); // undefined: the URL has no question mark
  const url =
    scheme + '://' + host + escaped(resolved(request.uri), PATH) + (query === undefined ? '' : '?' + escaped(query, QUERY));
  if (url.length <= LONGEST_KEY) { // every sign is one byte by now
    return url;
  }
  return 'sha256:' + crypto.createHash('sha256').update(url).digest('hex');
}

async function isBanned(request) {
  try {
    return await cf.kvs().exists(keyOf(request));
  } catch (error) {
    // The site stays up while the store cannot be read. The log shows it.
    console.log('edgeban: the store cannot be read, the request passes: ' + error);
    return false;
  }
}

async function handler(event) {
  if (!(await isBanned(event.request))) {
    return event.request;
  }
  return {
    statusCode: 403,
    statusDescription: 'Forbidden',
    // no-store: the page is back as soon as it is unbanned.
    headers: { 'cache-control': { value: 'no-store' }, 'content-type': { value: 'text/plain; charset=utf-8' } },
    body: '403 Forbidden\n',
  };
}
