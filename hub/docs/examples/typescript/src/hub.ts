// The client: urql for queries and mutations over HTTP, graphql-ws below it for subscriptions.
import { Client, fetchExchange, subscriptionExchange, type AnyVariables, type TypedDocumentNode } from '@urql/core';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

export class Hub {
  private readonly client: Client;
  private readonly socket;

  constructor(url: string, token: string) {
    const authorization = `Bearer ${token}`;
    this.socket = createClient({
      url: url.replace(/^http/, 'ws'),
      webSocketImpl: WebSocket, // Node has its own from version 22 on, browsers always
      connectionParams: { Authorization: authorization },
      retryAttempts: 10, // it connects again after a cut, and asks for the same
    });
    this.client = new Client({
      url,
      preferGetMethod: false, // a hub may have queries by GET off
      fetchOptions: { headers: { authorization } },
      exchanges: [
        fetchExchange,
        subscriptionExchange({
          forwardSubscription: ({ query, variables }) => ({
            subscribe: (sink) => ({
              unsubscribe: this.socket.subscribe({ query: query ?? '', variables: variables ?? {} }, sink),
            }),
          }),
        }),
      ],
    });
  }

  async query<Data, Variables extends AnyVariables>(document: TypedDocumentNode<Data, Variables>, variables: Variables) {
    const { data, error } = await this.client.query(document, variables).toPromise();
    if (!data) throw error ?? new Error('the hub answered nothing');
    return data;
  }

  async mutate<Data, Variables extends AnyVariables>(document: TypedDocumentNode<Data, Variables>, variables: Variables) {
    const { data, error } = await this.client.mutation(document, variables).toPromise();
    if (!data) throw error ?? new Error('the hub answered nothing');
    return data;
  }

  // Hands over each result until `told` says that it has heard enough, or throws.
  follow<Data, Variables extends AnyVariables>(
    document: TypedDocumentNode<Data, Variables>,
    variables: Variables,
    told: (data: Data) => boolean,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const following = this.client.subscription(document, variables).subscribe(({ data, error }) => {
        try {
          if (error) throw error;
          if (!data || !told(data)) return;
          resolve();
        } catch (reason) {
          reject(reason);
        }
        following.unsubscribe();
      });
    });
  }

  close() {
    return this.socket.dispose();
  }
}
