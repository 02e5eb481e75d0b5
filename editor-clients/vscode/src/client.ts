/**
 * The language client. The server's commands are not registered one to one, as the library would do by itself:
 * the extension has commands of the same names that also show what came of them.
 */
import * as vscode from 'vscode';
import {
    ClientCapabilities, DynamicFeature, LanguageClient, LanguageClientOptions, ServerOptions, State, StaticFeature, TransportKind,
} from 'vscode-languageclient/node';
import { serverSettings } from './settings';

class MoltClient extends LanguageClient {
    /** A server that cannot be started is told by the extension, with what to do about it: once, not twice. */
    override error(message: string, data?: unknown, show: boolean | 'force' = true): void {
        super.error(message, data, this.state === State.Running && show);
    }

    override registerFeature(feature: StaticFeature | DynamicFeature<unknown>): void {
        const method = 'registrationType' in feature ? feature.registrationType.method : undefined;
        if (method !== 'workspace/executeCommand') {
            super.registerFeature(feature);
        }
    }
}

/** Failed validations are shown with buttons (failedValidation.ts), so the server need not send a message about them. */
const failedValidations: StaticFeature = {
    fillClientCapabilities(capabilities: ClientCapabilities): void {
        capabilities.experimental = { ...capabilities.experimental as object, molt: { failedValidation: true } };
    },
    initialize(): void {},
    getState: () => ({ kind: 'static' }),
    clear(): void {},
};

export function createClient(output: vscode.LogOutputChannel): LanguageClient {
    const command = vscode.workspace.getConfiguration('molt').get('server.path', 'molt-lsp');
    const server: ServerOptions = { command, transport: TransportKind.stdio };
    const options: LanguageClientOptions = {
        documentSelector: [
            { scheme: 'file', language: 'c' },
            { scheme: 'file', language: 'cpp' },
        ],
        initializationOptions: serverSettings(),
        outputChannel: output,
        markdown: { isTrusted: false },
    };
    const client = new MoltClient('molt', 'Molt', server, options);
    client.registerFeature(failedValidations);
    return client;
}
