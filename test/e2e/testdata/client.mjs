// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Calls every operation of the published client, as a dashboard and an app do, and
// compares the answers with the client's own types. testPublishedClient runs it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createAuth } from 'rehive/auth';
import { createNotificationsApi } from 'rehive/extensions/notifications';

const config = JSON.parse(readFileSync(0, 'utf8'));
const components = readComponents(readFileSync(config.components, 'utf8'));
const responses = readResponses(readFileSync(config.operations, 'utf8'));
const called = new Set();

// client returns the operations with a token; each answer is checked.
function client(token) {
  const api = createNotificationsApi({ auth: createAuth({ token }), baseUrl: config.baseUrl });
  return Object.fromEntries(Object.entries(api).map(([name, operation]) => [name, async (options) => {
    called.add(name);
    let answer;
    try {
      answer = await operation(options);
    } catch (error) {
      error.message = `${name}: ${error.message} ${JSON.stringify(error.error ?? null)}`;
      throw error;
    }
    assert.equal(answer?.status, 'success', `${name} answered ${JSON.stringify(answer)}`);
    checkResponse(name, answer);
    return answer.data;
  }]));
}

// readComponents reads lines such as "Quotas: sms:number, email?:number|null".
function readComponents(text) {
  const all = {};
  for (const line of text.split('\n')) {
    const [, name, fields] = line.match(/^(\w+): (.*)$/) ?? [];
    if (!name || name === 'ClientOptions') continue;
    all[name] = fields.split(', ').map((field) => {
      const [, key, optional, types] = field.match(/^(\w+)(\??):(.*)$/);
      return { key, optional: optional === '?', types: types === '' ? [] : types.split('|').filter((t) => t !== '') };
    });
  }
  return all;
}

// readResponses reads the name of each operation's response.
function readResponses(text) {
  const all = {};
  let operation;
  for (const line of text.split('\n')) {
    if (/^\w/.test(line)) operation = line.trim();
    const response = line.match(/ -> (\d+) (\w+)$/);
    if (response) all[operation] = response[2];
  }
  return all;
}

function checkResponse(operation, answer) {
  const response = responses[operation];
  assert.ok(response, `${operation} is not described`);
  if (response === 'ActionResponse' || operation.endsWith('Destroy')) {
    assert.deepEqual(answer, { status: 'success' }, operation);
    return;
  }
  const [, item] = response.match(/^Paginated(\w+)ListResponse$/) ?? [];
  if (!item) {
    checkObject(operation, response.replace(/Response$/, ''), answer.data);
    return;
  }
  const { count, next, previous, results } = answer.data;
  assert.equal(typeof count, 'number', operation);
  for (const link of [next, previous]) assert.ok(link === null || typeof link === 'string', operation);
  for (const result of results) checkObject(operation, item, result);
}

function checkObject(where, component, value) {
  assert.ok(components[component], `${where}: there is no component ${component}`);
  assert.ok(value !== null && typeof value === 'object', `${where} is ${JSON.stringify(value)}`);
  for (const { key, types } of components[component]) {
    const at = `${where}.${key}`;
    assert.ok(key in value, `${at} is missing`); // optional or not: the original always answers with every field
    if (types.length === 0) continue;
    const matches = types.some((type) => {
      if (type === 'null') return value[key] === null;
      if (type === 'string[]') return Array.isArray(value[key]);
      if (type.startsWith("'")) return value[key] === type.slice(1, -1);
      if (components[type]) {
        // A reference that is typed as always there is null where there is none.
        if (value[key] !== null) checkObject(at, type, value[key]);
        return true;
      }
      return typeof value[key] === type;
    });
    // What has no event can only be null, although the client's types don't say so.
    const isAbsentEvent = key === 'event' && value[key] === null;
    assert.ok(matches || isAbsentEvent, `${at} is ${JSON.stringify(value[key])}, not ${types.join(' or ')}`);
  }
}

// eventually repeats a call until it finds something.
async function eventually(what, find) {
  for (const end = Date.now() + config.patience; Date.now() < end;) {
    const found = await find();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`waited too long for ${what}`);
}

async function refused(call, status, message, data) {
  try {
    await call();
  } catch (error) {
    assert.equal(error.status, status, error.message);
    assert.deepEqual(error.error, data ? { status: 'error', message, data } : { status: 'error', message });
    return;
  }
  assert.fail(`expected ${status} ${message}`);
}

const admin = client(config.adminToken);
const user = client(config.userToken);
const anybody = client('');
const secret = { Authorization: `Secret ${config.secret}` };

// The company. Optional bodies are left out completely.
const company = await admin.adminCompanyRetrieve();
assert.equal(company.id, config.company);
assert.equal(company.secret, config.secret);
await admin.adminCompanyPartialUpdate();
await admin.adminCompanyUpdate();
assert.equal((await admin.adminCompanyPartialUpdate({ body: { website: 'https://acme.example' } })).website, 'https://acme.example');
assert.equal((await admin.adminCompanyUpdate({ body: { website: null } })).website, null);

// Credentials.
const twilio = { twilio_sid: 'AC0123456789abcdef0123456789abcdef', twilio_token: 'a-planted-auth-token', twilio_from_number: '+15005550006' };
const credential = await admin.adminCredentialsCreate({ body: { credential_type: 'twilio', credentials: twilio } });
const credentialPath = { credential_id: String(credential.id) };
assert.deepEqual(await admin.adminCredentialsRetrieve({ path: credentialPath }), credential);
assert.ok((await admin.adminCredentialsList({ query: { page: 1, page_size: 250 } })).results.some((c) => c.id === credential.id));
await admin.adminCredentialsUpdate({ path: credentialPath, body: { credential_type: 'twilio', credentials: twilio } });
await admin.adminCredentialsPartialUpdate({ path: credentialPath });
await admin.adminCredentialsDestroy({ path: credentialPath });

// Presets.
const layoutTemplates = await admin.adminLayoutTemplatesList({ query: { type: 'email' } });
const frame = await admin.adminLayoutTemplatesRetrieve({ path: { id: layoutTemplates.results[0].id } });
const templates = await admin.adminTemplatesList({ query: { type: 'email', event: 'alert.create', name: undefined, layout: null } });
const template = await admin.adminTemplatesRetrieve({ path: { template_id: templates.results[0].id } });

// Layouts.
const { name, description, type, html_layout, text_layout, sms_layout, push_layout } = frame;
const layoutBody = { name, description, type, html_layout, text_layout, sms_layout, push_layout };
const layout = await admin.adminLayoutsCreate({ body: layoutBody });
const layoutPath = { id: layout.id };
assert.deepEqual(await admin.adminLayoutsRetrieve({ path: layoutPath }), layout);
await admin.adminLayoutsUpdate({ path: layoutPath, body: layoutBody });
await admin.adminLayoutsPartialUpdate({ path: layoutPath, body: { description: 'Ours' } });
assert.equal((await admin.adminLayoutsList({ query: { name, type } })).results[0].description, 'Ours');

// Notifications: read the preset, write it back with a layout, change it, trigger it.
const notificationBody = {
  ...template, id: undefined, type: 'email', template: template.id, layout: layout.id, name: 'From the client',
  preference_enabled: true, system_enabled: true, event: config.event,
};
const notification = await admin.adminNotificationsCreate({ body: notificationBody });
const notificationPath = { notification_id: String(notification.id) };
assert.equal(notification.template.id, template.id);
assert.equal(notification.layout.id, layout.id);
assert.deepEqual(await admin.adminNotificationsRetrieve({ path: notificationPath }), notification);
assert.deepEqual((await admin.adminNotificationsList({ query: { name: 'From the client', layout: layout.id, event: config.event, type: 'email' } })).results, [notification]);
// What was read is sent back, with the ids of the objects in it.
await admin.adminNotificationsUpdate({ path: notificationPath, body: { ...notification, template: notification.template.id, layout: notification.layout.id } });
await admin.adminNotificationsPartialUpdate({ path: notificationPath });
await admin.adminNotificationsPartialUpdate({ path: notificationPath, body: { expression: "'{{ status }}' != 'ignored'" } });
await admin.adminNotificationsTriggerCreate({ path: notificationPath });
await admin.adminNotificationsTriggerCreate({ path: notificationPath, body: { data: null, users: [], groups: null, id: 'x', status: 'pending' } });

// Events, with the secret in a header that the caller gives.
const data = { text: 'From the client', status: 'open', user: { id: config.user, email: config.userEmail, first_name: 'Thandi' } };
await anybody.webhookCreate({ headers: secret, body: { id: 'client-1', event: config.event, company: config.company, data } });
await anybody.adminWebhookCreate({ headers: secret, body: { id: 'client-2', event: config.event, company: config.company, data } });

// What became of them. Times are numbers, booleans true or false.
const query = { type: 'email', sent: true, user__identifier: config.user, notification: String(notification.id), created__gt: String(Date.now() - 600_000) };
const logs = await eventually('the emails in the log', async () => {
  const found = await admin.adminLogsList({ query });
  return found.count >= 2 && found.results;
});
const log = await admin.adminLogsRetrieve({ path: { log_id: String(logs[0].id) } });
assert.equal(log.recipient, config.userEmail);
assert.ok((await admin.adminLogsList({ query: { type__in: 'email,sms' } })).count >= 2);
await admin.adminLogsSendCreate({ path: { log_id: String(log.id) } });
await admin.adminLogsSendCreate({ path: { log_id: String(log.id) }, body: { recipient: 'second@acme.example' } });

// An app.
const inbox = await eventually('the in-app messages', async () => (await user.userLogsList({ query: { received: false } })).results[0]);
const inboxPath = { log_id: String(inbox.id) };
assert.deepEqual(await user.userLogsRetrieve({ path: inboxPath }), inbox);
assert.equal((await user.userLogsPartialUpdate({ path: inboxPath, body: { received: true } })).received, true);
assert.equal((await user.userLogsUpdate({ path: inboxPath, body: { received: false } })).received, false);
const choice = (await user.userNotificationsList({ query: { page_size: 250 } })).results.find((n) => n.id === notification.id);
const choicePath = { notification_id: String(choice.id) };
assert.deepEqual(await user.userNotificationsRetrieve({ path: choicePath }), choice);
assert.equal((await user.userNotificationsPartialUpdate({ path: choicePath, body: { enabled: false } })).enabled, false);
assert.equal((await user.userNotificationsUpdate({ path: choicePath, body: { enabled: true } })).enabled, true);

// Refusals reach the caller with their fields.
await refused(() => admin.adminNotificationsCreate({ body: {} }), 400, 'This field is required.', { name: ['This field is required.'] });
await refused(() => admin.adminNotificationsRetrieve({ path: { notification_id: '5/6' } }), 404, 'Not found.');
await refused(() => user.adminLogsList(), 403, 'You do not have permission to perform this action.');
await refused(() => client('planted').userLogsList(), 401, 'Invalid token.');
await refused(() => admin.adminLogsList({ query: { page: 1000 } }), 404, 'Invalid page.');

await admin.adminNotificationsDestroy({ path: notificationPath });
await admin.adminLayoutsDestroy({ path: layoutPath });

// The extension is switched off and on again. Typed clients send back what the answer
// of the original shows.
await anybody.deactivateCreate({ body: { token: config.serviceToken } });
const fields = { id: '', name: '', system_email: '', secret: '', push_enabled: true };
await anybody.activateCreate({ body: { token: config.serviceToken, ...fields } });

const missing = Object.keys(createNotificationsApi({ auth: createAuth({ token: '' }), baseUrl: config.baseUrl })).filter((operation) => !called.has(operation));
assert.deepEqual(missing, [], 'operations of the client that were not called');
console.log(`${called.size} operations`);
