// Runs a client for Node.js with the credentials of a broker; prints one line of JSON.
//
//     node --require ../reference_clients/node_preload.js node_client.js google-auth-library
//     node --require ../reference_clients/node_preload.js node_client.js earthengine
//
// NODE_PATH names the directory that contains google-auth-library and @google/earthengine.

'use strict';

const {GoogleAuth} = require('google-auth-library');

const auth = new GoogleAuth({scopes: 'https://www.googleapis.com/auth/earthengine'});

async function googleAuthLibrary() {
  const client = await auth.getClient();
  const project = await auth.getProjectId();
  const {data} = await client.request({
    url: `https://earthengine.googleapis.com/v1/projects/${project}/value:compute`,
    method: 'POST',
    data: {expression: {result: '0', values: {0: {constantValue: 3}}}},
  });
  return {
    client: 'google-auth-library',
    kind: client.constructor.name,
    project,
    result: data.result,
  };
}

async function earthengine() {
  const ee = require('@google/earthengine');
  const project = await auth.getProjectId();
  const token = await auth.getAccessToken();
  ee.data.setAuthToken('', 'Bearer', token, 3600, [], undefined, false);
  await new Promise((done, fail) => ee.initialize(null, null, done, fail, null, project));
  const result = await new Promise((done, fail) => {
    const three = ee.Number(1).add(2);
    three.evaluate((value, error) => (error ? fail(new Error(error)) : done(value)));
  });
  return {client: '@google/earthengine', project, result};
}

const CLIENTS = {'google-auth-library': googleAuthLibrary, earthengine};

CLIENTS[process.argv[2]]()
    .then((report) => console.log(JSON.stringify(report)))
    .catch((error) => {
      console.error(error);
      process.exit(1);
    });
