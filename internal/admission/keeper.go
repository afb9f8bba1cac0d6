// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applyadmission "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/rehive/extension-operator/internal/namespaces"
)

const (
	// SecretName is the name of the Secret, in the operator's namespace, that holds the
	// certificate that all replicas serve.
	SecretName = "rehive-extension-admission-tls"
	// SecretLabel marks a Secret as created by the operator.
	SecretLabel = "extensions.rehive.com/admission-certificate"
	// fieldManager owns what the keeper sets in the configuration.
	fieldManager = "rehive-extension-operator"
	// selfCondition is the name of the match condition that leaves out the operator's own
	// requests.
	selfCondition = "not-by-the-operator"

	bundleKey = "ca.crt"

	syncPeriod  = time.Minute
	retryPeriod = 5 * time.Second
	callTimeout = 10 * time.Second
	// reminder is how often the log repeats an error.
	reminder = 10 * time.Minute
)

// KeeperOptions configure a Keeper.
type KeeperOptions struct {
	Client kubernetes.Interface
	// Configuration is the name of the ValidatingWebhookConfiguration.
	Configuration string
	// Namespace is the operator's own, whose Service the configuration must refer to.
	Namespace string
	// Watched are the namespaces whose objects are checked.
	Watched namespaces.Set
	// Self is the user name of the operator, whose requests the API server admits without
	// calling the webhook; it may be empty.
	Self string
	// CertDir is a directory with tls.crt, tls.key and, optionally, ca.crt, which another
	// program maintains. If it is empty, the keeper maintains a certificate in a Secret.
	CertDir string
	Metrics *Metrics
	Log     logr.Logger
}

// Keeper maintains the certificate of the webhook, and the parts of its configuration that
// are only known while the operator runs: the certificates that the API server trusts, and
// the namespaces and requests that the webhook applies to. Every replica has one; they
// agree through the Secret. Its failures are logged and counted, and never stop the
// manager.
type Keeper struct {
	o       KeeperOptions
	serving atomic.Pointer[certificate]
	now     func() time.Time

	failure string // logged last
	logged  time.Time
}

// NewKeeper returns a keeper that does nothing before Start.
func NewKeeper(o KeeperOptions) *Keeper { return &Keeper{o: o, now: time.Now} }

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica serves.
func (*Keeper) NeedLeaderElection() bool { return false }

// GetCertificate is for tls.Config.
func (k *Keeper) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c := k.serving.Load()
	if c == nil {
		return nil, errors.New("the admission webhook has no certificate yet")
	}
	return &c.pair, nil
}

// Start maintains both until ctx is done.
func (k *Keeper) Start(ctx context.Context) error {
	for {
		err := k.Sync(ctx)
		k.report(err)
		pause := syncPeriod + rand.N(syncPeriod/10)
		if err != nil {
			pause = retryPeriod + rand.N(retryPeriod)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// report logs an error when it changes, and repeats it periodically.
func (k *Keeper) report(err error) {
	if err == nil {
		if k.failure != "" {
			k.o.Log.Info("The admission webhook works again")
		}
		k.failure = ""
		k.o.Metrics.ready.Set(1)
		return
	}
	k.o.Metrics.ready.Set(0)
	if text := err.Error(); text != k.failure || k.now().Sub(k.logged) > reminder {
		k.failure, k.logged = text, k.now()
		k.o.Log.Error(err, "The admission webhook does not work: rules, layouts and templates are accepted unchecked. Their condition Ready still reports whether they work", "configuration", k.o.Configuration)
	}
}

// Sync brings the certificate and the configuration up to date. A new certificate is
// served from the first Sync on that finds its authority in the configuration, so that the
// API server has had time to notice it.
func (k *Keeper) Sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	configurations := k.o.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	configuration, err := configurations.Get(ctx, k.o.Configuration, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("the ValidatingWebhookConfiguration %s does not exist: apply config/admission, or set --admission-address to nothing", k.o.Configuration)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("the service account may not read the ValidatingWebhookConfiguration %s: apply config/admission", k.o.Configuration)
	case err != nil:
		return fmt.Errorf("reading the ValidatingWebhookConfiguration %s: %w", k.o.Configuration, err)
	}
	host, err := k.host(configuration)
	if err != nil {
		return err
	}
	current, err := k.certificate(ctx, host)
	if err != nil {
		return err
	}
	if k.serving.Load() == nil {
		k.serve(current)
	}
	if len(current.bundle) == 0 && slices.ContainsFunc(configuration.Webhooks, func(w admissionregistrationv1.ValidatingWebhook) bool { return len(w.ClientConfig.CABundle) == 0 }) {
		return fmt.Errorf("the API server does not know which authority issued the certificate: add ca.crt to --admission-cert-dir, or set caBundle in the ValidatingWebhookConfiguration %s", k.o.Configuration)
	}
	if k.isUpToDate(configuration, current) {
		k.serve(current)
		return nil
	}
	_, err = configurations.Apply(ctx, k.desired(configuration, current), metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Errorf("the service account may not patch the ValidatingWebhookConfiguration %s: apply config/admission", k.o.Configuration)
	case err != nil:
		return fmt.Errorf("updating the ValidatingWebhookConfiguration %s: %w", k.o.Configuration, err)
	}
	k.o.Log.Info("Updated the ValidatingWebhookConfiguration", "configuration", k.o.Configuration)
	return nil
}

func (k *Keeper) serve(c *certificate) {
	k.serving.Store(c)
	k.o.Metrics.expiry.Set(float64(c.pair.Leaf.NotAfter.Unix()))
}

// host returns the host that the API server connects to. All webhooks of the configuration
// must have the same one, which must belong to this installation.
func (k *Keeper) host(configuration *admissionregistrationv1.ValidatingWebhookConfiguration) (string, error) {
	var host string
	for i := range configuration.Webhooks {
		client, found := &configuration.Webhooks[i].ClientConfig, ""
		switch {
		case client.Service != nil && client.Service.Namespace != k.o.Namespace:
			return "", fmt.Errorf("the ValidatingWebhookConfiguration %s belongs to the installation in the namespace %s: give each installation a nameSuffix of its own", configuration.Name, client.Service.Namespace)
		case client.Service != nil:
			found = client.Service.Name + "." + client.Service.Namespace + ".svc"
		case client.URL != nil:
			if parsed, err := url.Parse(*client.URL); err == nil {
				found = parsed.Hostname()
			}
		}
		if found == "" || host != "" && found != host {
			return "", fmt.Errorf("the webhooks of the ValidatingWebhookConfiguration %s must all have the same Service or host", configuration.Name)
		}
		host = found
	}
	if host == "" {
		return "", fmt.Errorf("the ValidatingWebhookConfiguration %s has no webhooks", configuration.Name)
	}
	return host, nil
}

// certificate returns the certificate for a host, from files or from the Secret, where it
// is created or replaced if necessary.
func (k *Keeper) certificate(ctx context.Context, host string) (*certificate, error) {
	if k.o.CertDir != "" {
		return readDirectory(k.o.CertDir)
	}
	// Another replica may create or replace the Secret at the same time. Then that
	// certificate is used.
	for range 3 {
		c, err := k.fromSecret(ctx, host)
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			return c, err
		}
	}
	return nil, fmt.Errorf("the Secret %s keeps changing", SecretName)
}

func (k *Keeper) fromSecret(ctx context.Context, host string) (*certificate, error) {
	secrets := k.o.Client.CoreV1().Secrets(k.o.Namespace)
	secret, err := secrets.Get(ctx, SecretName, metav1.GetOptions{})
	missing := apierrors.IsNotFound(err)
	switch {
	case missing:
		secret = &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Name: SecretName, Namespace: k.o.Namespace,
				Labels: map[string]string{SecretLabel: strconv.FormatBool(true), "app.kubernetes.io/managed-by": fieldManager},
			},
			Type: corev1.SecretTypeTLS,
		}
	case err != nil:
		return nil, fmt.Errorf("reading the Secret %s: %w", SecretName, err)
	case secret.Labels[SecretLabel] != strconv.FormatBool(true):
		return nil, fmt.Errorf("the Secret %s was not created by the operator: delete it, or label it %s=true", SecretName, SecretLabel)
	default:
		c, err := read(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey], secret.Data[bundleKey])
		if err == nil && c.check(host, k.now()) == nil {
			return c, nil
		}
	}
	certificatePEM, keyPEM, bundle, err := issue(host, secret.Data[bundleKey], k.now())
	if err != nil {
		return nil, err
	}
	secret.Data = map[string][]byte{corev1.TLSCertKey: certificatePEM, corev1.TLSPrivateKeyKey: keyPEM, bundleKey: bundle}
	if missing {
		_, err = secrets.Create(ctx, secret, metav1.CreateOptions{})
	} else {
		_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
	}
	if err != nil {
		return nil, fmt.Errorf("writing the Secret %s: %w", SecretName, err)
	}
	k.o.Log.Info("Issued a certificate for the admission webhook", "host", host)
	return read(certificatePEM, keyPEM, bundle)
}

// readDirectory reads a certificate from files.
func readDirectory(directory string) (*certificate, error) {
	var files [3][]byte
	for i, name := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey, bundleKey} {
		content, err := os.ReadFile(filepath.Join(directory, name))
		if err != nil && (name != bundleKey || !errors.Is(err, os.ErrNotExist)) {
			return nil, fmt.Errorf("--admission-cert-dir: %w", err)
		}
		files[i] = content
	}
	c, err := read(files[0], files[1], files[2])
	if err != nil {
		return nil, fmt.Errorf("--admission-cert-dir: %w", err)
	}
	return c, nil
}

// selector selects the namespaces that the operator watches.
func (k *Keeper) selector() *metav1.LabelSelector {
	if k.o.Watched.IsAll() {
		return &metav1.LabelSelector{}
	}
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: k.o.Watched.Names(),
	}}}
}

func (k *Keeper) selfExpression() string {
	return "request.userInfo.username != " + strconv.Quote(k.o.Self)
}

func (k *Keeper) isUpToDate(configuration *admissionregistrationv1.ValidatingWebhookConfiguration, c *certificate) bool {
	for i := range configuration.Webhooks {
		w := &configuration.Webhooks[i]
		if !trusts(w.ClientConfig.CABundle, c.bundle) ||
			!equality.Semantic.DeepEqual(w.NamespaceSelector, k.selector()) ||
			k.o.Self != "" && !slices.Contains(w.MatchConditions, admissionregistrationv1.MatchCondition{Name: selfCondition, Expression: k.selfExpression()}) {
			return false
		}
	}
	return true
}

// desired returns only the fields of the configuration that the keeper owns, so that it
// does not conflict with the tool that applies the rest.
func (k *Keeper) desired(configuration *admissionregistrationv1.ValidatingWebhookConfiguration, c *certificate) *applyadmission.ValidatingWebhookConfigurationApplyConfiguration {
	selector := k.selector()
	labels := applymeta.LabelSelector()
	for i := range selector.MatchExpressions {
		e := &selector.MatchExpressions[i]
		labels.WithMatchExpressions(applymeta.LabelSelectorRequirement().WithKey(e.Key).WithOperator(e.Operator).WithValues(e.Values...))
	}
	desired := applyadmission.ValidatingWebhookConfiguration(configuration.Name)
	for i := range configuration.Webhooks {
		w := applyadmission.ValidatingWebhook().WithName(configuration.Webhooks[i].Name).WithNamespaceSelector(labels)
		if len(c.bundle) > 0 {
			w.WithClientConfig(applyadmission.WebhookClientConfig().WithCABundle(c.bundle...))
		}
		if k.o.Self != "" {
			w.WithMatchConditions(applyadmission.MatchCondition().WithName(selfCondition).WithExpression(k.selfExpression()))
		}
		desired.WithWebhooks(w)
	}
	return desired
}
