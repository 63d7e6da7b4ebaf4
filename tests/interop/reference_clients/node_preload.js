// Redirects every request of an unmodified Node.js program to the emulator.
//
// For `node --require`. With EARTHENGINE_EMULATOR_HOST=127.0.0.1:PORT a
// request for https://HOST/PATH is sent to http://127.0.0.1:PORT/HOST/PATH.
// Only Node's own modules are patched, never Google's packages: both of the client's transports
// (xmlhttprequest for Earth Engine, node-fetch for tokens) end in https.request.
//
// A connection to anything but loopback is an error, so a request that bypasses the rewriting fails
// the test instead of reaching Google.

'use strict';

const http = require('http');
const https = require('https');
const net = require('net');

const EMULATOR = process.env.EARTHENGINE_EMULATOR_HOST;
const LOOPBACK = ['127.0.0.1', '::1', '[::1]', 'localhost'];

/** The options of a request, from any form that http.request accepts. */
function requestOptions(scheme, args) {
  const [first, second] = args;
  const hasUrl = typeof first === 'string' || first instanceof URL;
  const given = hasUrl ? (typeof second === 'object' ? second : {}) : first;
  const options = {...given};
  if (hasUrl) {
    const url = new URL(first);
    options.hostname = url.hostname;
    options.port = url.port;
    options.path = url.pathname + url.search;
  } else {
    // Objects of the old url.parse keep their fields in the prototype chain.
    for (const name of ['hostname', 'host', 'port', 'path', 'method', 'headers']) {
      options[name] = given[name];
    }
  }
  options.hostname = options.hostname || options.host || 'localhost';
  options.scheme = scheme;
  return options;
}

/** The same request at the emulator; loopback requests are there already. */
function toEmulator({scheme, ...options}) {
  const [address, port] = EMULATOR.split(':');
  const usual = scheme === 'https' ? 443 : 80;
  const host = options.hostname + (options.port && options.port != usual ? `:${options.port}` : '');
  const headers = {...options.headers};
  for (const name of Object.keys(headers)) {
    if (name.toLowerCase() === 'host') delete headers[name];
  }
  return {
    ...options,
    headers,
    protocol: 'http:',
    host: undefined,
    hostname: address,
    port,
    path: `/${host}${options.path || '/'}`,
    agent: undefined,
    defaultPort: undefined,
  };
}

function patchModule(module, scheme) {
  const {request} = http[ORIGINAL];
  const direct = module[ORIGINAL];
  const patched = function(...args) {
    const options = requestOptions(scheme, args);
    if (LOOPBACK.includes(options.hostname)) return direct.request(...args);
    const callback = args.find((argument) => typeof argument === 'function');
    return request(toEmulator(options), callback);
  };
  module.request = patched;
  module.get = function(...args) {
    const sent = patched(...args);
    sent.end();
    return sent;
  };
}

/** Refuses to connect to what is not loopback. */
function sealNetwork() {
  const {connect} = net.Socket.prototype;
  net.Socket.prototype.connect = function(...args) {
    const given = Array.isArray(args[0]) ? args[0][0] : args[0];
    const host = typeof given === 'object' ? given.host : args[1];
    const local = given.path !== undefined && given.host === undefined;
    if (typeof host === 'string' && !local && !LOOPBACK.includes(host)) {
      throw new Error(`connection to ${host}: only the emulator may be reached`);
    }
    return connect.apply(this, args);
  };
}

const ORIGINAL = Symbol('original');

if (EMULATOR) {
  sealNetwork();
  for (const module of [http, https]) module[ORIGINAL] = {request: module.request};
  patchModule(http, 'http');
  patchModule(https, 'https');
}
